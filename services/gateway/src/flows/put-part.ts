import type { TaskRef } from '../domain/task.ts';
import { OpenUpload, uploadOfPart } from '../domain/upload.ts';
import type { Gateway } from './gateway.ts';
import { keepAtHand } from './keep-at-hand.ts';

/** How many parts to ask the aggregator about when another gateway may have taken some. */
const ASK = 16;

/** Which upload a pushed part belongs to; after a restart, or announced at another gateway, it is loaded. */
export const findUpload = async (
  gateway: Gateway,
  nodeId: bigint,
  part: { runId: bigint; partId: string; session: string },
): Promise<OpenUpload> => {
  const atHand = gateway.openUploads.match(nodeId, part);
  if (atHand) return atHand;
  const stored = (await gateway.uploads.ofNode(nodeId)).map((record) => new OpenUpload(record, record.partIds));
  const { record } = uploadOfPart(stored, part);
  if (record.verdict) return new OpenUpload(record, []);
  return keepAtHand(
    gateway,
    new OpenUpload(record, await gateway.aggregator.missingParts(record.task, record.partIds)),
  );
};

/** The upload of this task, when it was announced: at hand, or by a process before this one or another gateway. */
export const findTaskUpload = async (
  gateway: Gateway,
  { nodeId, taskId }: Pick<TaskRef, 'nodeId' | 'taskId'>,
): Promise<OpenUpload | null> => {
  const known = gateway.openUploads.ofNode(nodeId).find(({ record }) => record.task.taskId === taskId);
  if (known) return known;
  const record = await gateway.uploads.find(nodeId, taskId);
  if (!record || record.verdict) return record && new OpenUpload(record, []);
  return keepAtHand(
    gateway,
    new OpenUpload(record, await gateway.aggregator.missingParts(record.task, record.partIds)),
  );
};

/** Makes the part durable. Sending one again changes nothing. Afterwards `upload.isComplete` tells whether it was the last. */
export const putPart = async (gateway: Gateway, upload: OpenUpload, partId: string, content: Buffer): Promise<void> => {
  const { record } = upload;
  if (record.verdict) return;
  await gateway.aggregator.appendPart(record.task, partId, content);
  upload.stored([partId]);
  gateway.observed.partStored(content.length);
  if (gateway.elsewhere.hasNeighbours) await askForOthers(gateway, upload);
};

/** True when every part is durable, also those that another gateway took. */
export const isUploaded = async (gateway: Gateway, upload: OpenUpload): Promise<boolean> => {
  const doubtful = upload.wanted();
  if (doubtful.length === 0) return true;
  const missing = new Set(await gateway.aggregator.missingParts(upload.record.task, doubtful));
  upload.stored(doubtful.filter((id) => !missing.has(id)));
  return missing.size === 0;
};

// A client pushes over two connections; with two gateways each may see half. Whoever stores the last part must notice.
const askForOthers = async (gateway: Gateway, upload: OpenUpload): Promise<void> => {
  for (let doubtful = upload.likelyMissing(ASK); doubtful.length > 0; doubtful = upload.likelyMissing(ASK)) {
    const missing = new Set(await gateway.aggregator.missingParts(upload.record.task, doubtful));
    upload.stored(doubtful.filter((id) => !missing.has(id)));
    if (missing.size > 0) return;
  }
};
