import { AegisError } from '@aegis/errors';
import { DeliverPolicy, DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { consume } from './consume.ts';
import { BusConflict, type Journal, type JournalRecord } from './contract.ts';
import { durableWrite, isWrongRevision } from './durable-write.ts';
import { type JournalName, journals } from './journals.ts';
import type { Link } from './link.ts';
import { bufferOf } from './watch.ts';

const pauseMs = 200;
/** JetStream: the name is in use with another configuration. */
const streamIsOther = 10058;

/** Opens a stream that only grows: nothing in it can be deleted or purged through NATS, and every record names the one before it. */
export const openJournal = async (link: Link, name: JournalName, replicas: number): Promise<Journal> => {
  const stream = `JOURNAL_${name}`;
  const subject = `aegis.journal.${name}`;
  const { description, maxRecordBytes } = journals[name];
  const wanted = {
    name: stream,
    subjects: [subject],
    description,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    storage: StorageType.File,
    num_replicas: replicas,
    max_bytes: -1,
    max_age: 0,
    max_msgs: -1,
    allow_direct: true,
    deny_delete: true,
    deny_purge: true,
  };
  await link.call(`journal ${name}`, () =>
    link.manager.streams.add(wanted).catch((error: unknown) => {
      if (error instanceof JetStreamApiError && error.code === streamIsOther)
        throw new AegisError('STORE_UNAVAILABLE', `The stream ${stream} is not as this release makes it.`, error);
      throw error;
    }),
  );
  return {
    append: async (record, after) => {
      const what = `append to ${name}`;
      if (record.byteLength > maxRecordBytes)
        throw new AegisError('BODY_TOO_LARGE', `${what}: ${record.byteLength} bytes; at most ${maxRecordBytes} fit.`);
      try {
        return await durableWrite(link, what, { stream, subject, payload: record, expected: after });
      } catch (error) {
        throw isWrongRevision(error) ? new BusConflict(stream, String(after), error) : error;
      }
    },
    read: (after) => readJournal(link, stream, subject, after),
    newest: async () => {
      const message = await link.call(`newest of ${name}`, () =>
        link.manager.direct.getMessage(stream, { last_by_subj: subject }),
      );
      return message === null ? null : { sequence: message.seq, content: bufferOf(message.data) };
    },
  };
};

/** Collected as it comes; an outage in the middle is gone on from, or is STORE_UNAVAILABLE when it lasts. */
async function* readJournal(
  link: Link,
  stream: string,
  filter: string,
  after: number,
): AsyncGenerator<JournalRecord, void, undefined> {
  const never = new AbortController().signal;
  let last = after;
  let failingSince: number | undefined;
  for (;;) {
    try {
      await link.call(`reading ${stream}`, async () => {});
      const deliver = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: last + 1 };
      for await (const item of consume(link, { stream, filter, deliver }, never)) {
        if (item.type === 'caught-up') return;
        failingSince = undefined;
        last = item.message.seq;
        yield { sequence: last, content: bufferOf(item.message.data) };
      }
    } catch (error) {
      if (error instanceof AegisError) throw error;
      failingSince ??= Date.now();
      if (Date.now() - failingSince > link.outageWaitMs)
        throw new AegisError('STORE_UNAVAILABLE', `reading ${stream}: no answer.`, error);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
