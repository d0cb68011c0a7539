import { JetStreamApiCodes, JetStreamApiError, type JetStreamPublishOptions } from '@nats-io/jetstream';
import { nuid } from '@nats-io/transport-node';
import type { Link } from './link.ts';

export interface Write {
  stream: string;
  subject: string;
  payload: Uint8Array;
  headers?: JetStreamPublishOptions['headers'];
  /** The subject's newest revision must be this one; 0 = it must not exist. */
  expected?: number | undefined;
}

/**
 * One durable write, repeated through an outage. Every attempt carries the same message id, by which the server (or, for compare-and-set, we) recognise
 * a write that had arrived although its answer was lost: a repeated one neither doubles nor conflicts with itself.
 */
export const durableWrite = async (link: Link, what: string, write: Write): Promise<number> => {
  const msgID = nuid.next();
  let attempts = 0;
  return link.call(what, async (timeout) => {
    attempts += 1;
    try {
      const { seq } = await link.jetstream.publish(write.subject, write.payload, {
        msgID,
        timeout,
        ...(write.headers !== undefined && { headers: write.headers }),
        ...(write.expected !== undefined && { expect: { lastSubjectSequence: write.expected } }),
      });
      return seq;
    } catch (error) {
      // The server compares revisions before it looks at message ids, so our own first attempt looks like somebody else's write.
      if (attempts === 1 || !isWrongRevision(error)) throw error;
      const newest = await link.manager.direct.getMessage(write.stream, { last_by_subj: write.subject });
      if (newest?.header.get('Nats-Msg-Id') === msgID) return newest.seq;
      throw error;
    }
  });
};

export const isWrongRevision = (error: unknown): boolean =>
  error instanceof JetStreamApiError &&
  (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
    error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown);
