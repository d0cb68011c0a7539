import { AegisError } from '@aegis/errors';
import { DeliverPolicy } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import { consume } from './consume.ts';
import type { WatchItem } from './contract.ts';
import type { Link } from './link.ts';

export const operationHeader = 'KV-Operation';

/** A deletion, ours (KV-Operation) or the server's for an expired value (Nats-Marker-Reason). */
export const isTombstone = (headers: MsgHdrs | undefined): boolean =>
  headers !== undefined && (headers.has(operationHeader) || headers.has('Nats-Marker-Reason'));

export const bufferOf = (data: Uint8Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

const pauseMs = 200;

/**
 * The bucket's entries below `prefix`, `complete`, and every change. After each outage the whole state is read again and only what differs from
 * what was delivered is passed on: that also covers expired keys, purged markers and a store that was replaced.
 */
export async function* watchBucket(
  link: Link,
  bucket: string,
  prefix: string | undefined,
  signal: AbortSignal,
  { bounded }: { bounded: boolean },
): AsyncGenerator<WatchItem, void, undefined> {
  const subjectPrefix = `$KV.${bucket}.`;
  const filter =
    prefix === undefined || prefix === '' ? `${subjectPrefix}>` : `${subjectPrefix}${prefix.replace(/\.$/, '')}.>`;
  const delivered = new Map<string, number>(); // living keys → revision
  let completed = false;
  let failingSince: number | undefined;

  while (!signal.aborted) {
    const unseen = new Set(delivered.keys());
    let snapshot = true;
    try {
      if (bounded) await link.call(`reading ${bucket}`, async () => {});
      else await link.whenUp(signal);
      const messages = consume(
        link,
        { stream: `KV_${bucket}`, filter, deliver: { deliver_policy: DeliverPolicy.LastPerSubject } },
        signal,
      );
      for await (const item of messages) {
        failingSince = undefined;
        if (item.type === 'caught-up') {
          snapshot = false;
          for (const key of unseen) {
            const revision = delivered.get(key) ?? 0;
            delivered.delete(key);
            yield { type: 'entry', key, value: null, revision, initial: !completed };
          }
          if (!completed) yield { type: 'complete' };
          completed = true;
          continue;
        }
        const { message } = item;
        const key = message.subject.slice(subjectPrefix.length);
        if (snapshot) unseen.delete(key);
        if (isTombstone(message.headers)) {
          if (delivered.delete(key))
            yield { type: 'entry', key, value: null, revision: message.seq, initial: !completed };
        } else if (delivered.get(key) !== message.seq) {
          delivered.set(key, message.seq);
          yield { type: 'entry', key, value: bufferOf(message.data), revision: message.seq, initial: !completed };
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (bounded && error instanceof AegisError) throw error;
      if (failingSince === undefined) {
        failingSince = Date.now();
        link.log.warn({ err: error, bucket }, 'watch interrupted, trying again');
      }
      if (bounded && Date.now() - failingSince > link.outageWaitMs) {
        throw new AegisError('STORE_UNAVAILABLE', `reading ${bucket}: no answer.`, error);
      }
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
