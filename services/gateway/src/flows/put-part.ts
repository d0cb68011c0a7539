import { OpenUpload, uploadOfPart } from '../domain/upload.ts';
import type { Gateway } from './gateway.ts';

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
  const upload = new OpenUpload(record, await gateway.aggregator.missingParts(record.task, record.partIds));
  // Two parts of one upload may arrive at once after a restart: the first one to get here is the one to keep.
  const meanwhile = gateway.openUploads.match(nodeId, part);
  if (meanwhile) return meanwhile;
  gateway.openUploads.keep(upload);
  return upload;
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

// A client pushes over two connections; with two gateways each may see half. Whoever stores the last part must notice.
const askForOthers = async (gateway: Gateway, upload: OpenUpload): Promise<void> => {
  for (let doubtful = upload.likelyMissing(ASK); doubtful.length > 0; doubtful = upload.likelyMissing(ASK)) {
    const missing = new Set(await gateway.aggregator.missingParts(upload.record.task, doubtful));
    upload.stored(doubtful.filter((id) => !missing.has(id)));
    if (missing.size > 0) return;
  }
};
