import { AegisError } from '@aegis/errors';
import { DeliverPolicy, DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { consume } from './consume.ts';
import type { RunLogLine } from './contract.ts';
import { durableWrite } from './durable-write.ts';
import type { Link } from './link.ts';

/** What `flwr log` shows: a bounded stream, the oldest lines go first. */
export interface RunLog {
  append(runId: bigint, text: string): Promise<void>;
  read(runId: bigint, after: number, follow: boolean, signal: AbortSignal): AsyncIterable<RunLogLine>;
}

const stream = 'aegis-run-logs';
const subjectOf = (runId: bigint): string => `aegis.run-log.${runId}`;
const nanosPerMs = 1_000_000;
// Bounded by lines, not by bytes: JetStream sets max_bytes aside when the stream is made, and refuses it on a small disk.
const limits = {
  max_age: 30 * 24 * 3_600_000 * nanosPerMs,
  max_bytes: -1,
  max_msgs: 200_000,
  max_msgs_per_subject: 20_000,
  max_msg_size: 8 * 1024,
};
const longestText = 4 * 1024;
const pauseMs = 200;
/** JetStream: the name is in use with another configuration. */
const streamIsOther = 10058;

export const openRunLog = async (link: Link, replicas: number): Promise<RunLog> => {
  const { streams } = link.manager;
  const wanted = {
    name: stream,
    subjects: [subjectOf(0n).replace(/0$/, '*')],
    description: 'log lines of runs',
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    storage: StorageType.File,
    num_replicas: replicas,
    ...limits,
  };
  await link.call('run log', () =>
    streams.add(wanted).catch((error: unknown) => {
      // made by a release with other limits
      if (error instanceof JetStreamApiError && error.code === streamIsOther) return streams.update(stream, wanted);
      throw error;
    }),
  );
  return {
    append: async (runId, text) => {
      const payload = Buffer.from(text, 'utf8');
      await durableWrite(link, `log of run ${runId}`, {
        stream,
        subject: subjectOf(runId),
        payload: payload.subarray(0, longestText),
      });
    },
    read: (runId, after, follow, signal) => readRunLog(link, subjectOf(runId), after, follow, signal),
  };
};

async function* readRunLog(
  link: Link,
  filter: string,
  after: number,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<RunLogLine, void, undefined> {
  let last = 0; // stream sequence, to go on after an outage without a gap or a repetition
  while (!signal.aborted) {
    // Without `follow` somebody waits for the end of the answer, so an outage ends it; with it, we wait along.
    if (follow) await link.whenUp(signal).catch(() => {});
    else await link.call('reading a run log', async () => {});
    if (signal.aborted) return;
    const start =
      last > 0
        ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: last + 1 }
        : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(Math.floor(after * 1000)).toISOString() };
    try {
      for await (const item of consume(link, { stream, filter, deliver: start }, signal)) {
        if (item.type === 'caught-up') {
          if (follow) continue;
          return;
        }
        const { message } = item;
        last = message.seq;
        const at = message.info.timestampNanos / 1e9;
        if (at > after) yield { text: Buffer.from(message.data).toString('utf8'), at };
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!follow) throw new AegisError('STORE_UNAVAILABLE', 'The run log cannot be read.', error);
      link.log.warn({ err: error }, 'run log interrupted, trying again');
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
