import { type DeliverPolicy, type JsMsg, type OrderedPushConsumerOptions, ReplayPolicy } from '@nats-io/jetstream';
import type { Link } from './link.ts';

export interface ConsumeOptions {
  stream: string;
  filter: string;
  deliver: { deliver_policy: DeliverPolicy; opt_start_seq?: number; opt_start_time?: string };
}
export type Consumed = { type: 'message'; message: JsMsg } | { type: 'caught-up' };

// Should the last messages the server counted as pending vanish (expired), no message tells us; then we ask.
const recountMs = 1_000;

/**
 * Messages of one stream over one life of the connection: what is there, `caught-up` once, then what comes, until the connection drops or `signal`
 * aborts. Then it returns; going on from there is the caller's business.
 */
export async function* consume(
  link: Link,
  { stream, filter, deliver }: ConsumeOptions,
  signal: AbortSignal,
): AsyncGenerator<Consumed, void, undefined> {
  const life = link.dropSignal(signal);
  let release = life.release;
  try {
    const options: Partial<OrderedPushConsumerOptions> & { mem_storage: boolean } = {
      ...deliver,
      filter_subjects: filter,
      replay_policy: ReplayPolicy.Instant,
      // Its state needs no fsync: it does not outlive the connection.
      mem_storage: true,
    };
    const consumer = await link.jetstream.consumers.getPushConsumer(stream, options);
    const messages = await consumer.consume();
    const stop = () => messages.stop();
    let waiting = false;
    const recount = setInterval(async () => {
      if (!waiting || messages.getPending() > 0) return;
      const info = await consumer.info().catch(() => undefined);
      if (info?.num_pending === 0 && waiting) stop();
    }, recountMs);
    release = () => {
      clearInterval(recount);
      life.release();
      stop();
      if (link.isUp()) void consumer.delete().catch(() => {});
    };
    life.signal.addEventListener('abort', stop, { once: true });
    if (life.signal.aborted) return;

    let caughtUp = (await consumer.info(true)).num_pending === 0;
    if (caughtUp) {
      clearInterval(recount);
      yield { type: 'caught-up' };
    }
    const source = messages[Symbol.asyncIterator]();
    for (;;) {
      waiting = true;
      const next = await source.next();
      waiting = false;
      if (next.done === true) return;
      yield { type: 'message', message: next.value };
      if (!caughtUp && next.value.info.pending === 0) {
        caughtUp = true;
        clearInterval(recount);
        yield { type: 'caught-up' };
      }
    }
  } finally {
    release();
  }
}
