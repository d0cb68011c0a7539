import { AegisError } from '@aegis/errors';
import type { Answer, AnswerRecord, Verdict } from '../domain/answer.ts';
import type { Guard } from './guard.ts';

type Update = Extract<Answer, { outcome: 'update' }>;

/** Parts on their way at once: with the largest parts, well inside the server's window. */
const AT_ONCE = 4;
const AGAIN_MS = 1_000;
const delivering = new WeakMap<Guard, Map<string, Promise<void>>>();

/** Sends an answer that is written down, over as many connections as it takes, until the server has judged it. */
export const deliverAnswer = (guard: Guard, taskId: string): Promise<void> => {
  const under = delivering.get(guard) ?? new Map<string, Promise<void>>();
  delivering.set(guard, under);
  const delivery = under.get(taskId) ?? deliver(guard, taskId).finally(() => under.delete(taskId));
  under.set(taskId, delivery);
  return delivery;
};

const deliver = async (guard: Guard, taskId: string): Promise<void> => {
  try {
    const record = guard.journal.answerTo(taskId);
    if (record?.answer.outcome === 'update' && record.verdict === null) {
      await settle(guard, record, await untilJudged(guard, record, record.answer));
    }
  } catch (error) {
    if (!guard.ending.aborted) guard.log.error({ err: error, task: taskId }, 'an answer could not be delivered');
  }
};

const untilJudged = async (guard: Guard, record: AnswerRecord, update: Update): Promise<Verdict> => {
  const { upstream, clock, ending } = guard;
  for (;;) {
    await upstream.connected(ending);
    try {
      return await handIn(guard, record, update);
    } catch (caught) {
      ending.throwIfAborted();
      const error = AegisError.from(caught);
      // Parts may have been forgotten by a server that was set back: BeginUpdate tells which.
      const passes = error.entry.kind === 'unavailable' || error.code === 'PART_NOT_FOUND';
      if (!passes) return { accepted: false, code: error.code, detail: error.detail };
      await clock.sleep(AGAIN_MS, ending);
    }
  }
};

const handIn = async (guard: Guard, { taskId }: AnswerRecord, update: Update): Promise<Verdict> => {
  const { upstream, parts: files } = guard;
  const { parts, tensors, masked = [], metrics } = update;
  const byId = new Map(parts.map((part) => [part.partId, part]));
  if (parts.length > 0) {
    const missing = await upstream.begin(taskId, [...byId.keys()]);
    const queue = missing.flatMap((partId) => byId.get(partId) ?? []).values();
    const send = async (): Promise<void> => {
      for (const { partId, file, offset, length } of queue) {
        await upstream.part(taskId, partId, await files.read(taskId, file, offset, length));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, send));
  }
  const sent = (partId: string) => ({ partId, length: byId.get(partId)?.length ?? 0 });
  return upstream.submit({
    taskId,
    tensors: tensors.map(({ name, partIds }) => ({ name, parts: partIds.map(sent) })),
    masked: masked.map(sent),
    metrics,
  });
};

const settle = async (guard: Guard, { taskId, runId }: AnswerRecord, verdict: Verdict): Promise<void> => {
  const { journal, parts, audit, log, say } = guard;
  journal.settle(taskId, verdict);
  audit.write({
    event: 'verdict',
    task: taskId,
    run: runId.toString(),
    accepted: verdict.accepted,
    code: verdict.code,
  });
  await parts.drop(taskId);
  const { accepted, code, detail } = verdict;
  log.info({ task: taskId, run: runId, accepted, code, detail }, 'answer judged');
  if (!accepted) say(`run ${runId}: the server did not take the answer: ${code} ${detail}`);
};
