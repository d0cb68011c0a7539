import type { Telemetry } from '@aegis/service-kit';
import { headers, type Msg } from '@nats-io/transport-node';
import type { BusEvent } from './contract.ts';
import type { Link } from './link.ts';
import { type SubjectMessages, type SubjectName, subjects } from './subjects.ts';

const traceHeader = 'traceparent';

interface AnyCodec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}
const entryOf = (name: SubjectName) => subjects[name] as { subject: string; codec: AnyCodec };

export const publishEvent = <S extends SubjectName>(
  link: Link,
  name: S,
  message: SubjectMessages[S],
  telemetry: Telemetry,
): void => {
  // nats.js would keep it and send it after the outage, when it is no longer true.
  if (!link.isUp()) return;
  const { subject, codec } = entryOf(name);
  const traceparent = telemetry.traceparent();
  const traced = traceparent === undefined ? undefined : headers();
  traced?.set(traceHeader, traceparent ?? '');
  link.connection.publish(subject, codec.encode(message).finish(), traced === undefined ? {} : { headers: traced });
};

export const subscribeEvents = async <S extends SubjectName>(
  link: Link,
  name: S,
  signal: AbortSignal,
): Promise<AsyncIterable<BusEvent<SubjectMessages[S]>>> => {
  const { subject, codec } = entryOf(name);
  const subscription = link.connection.subscribe(subject);
  const stop = () => subscription.unsubscribe();
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    // The server has seen the subscription when it answers the flush; after an outage nats.js renews it by itself.
    await link.call(`subscribing to ${name}`, () => link.connection.flush());
  } catch (error) {
    signal.removeEventListener('abort', stop);
    stop();
    throw error;
  }
  const decode = (message: Msg): BusEvent<SubjectMessages[S]> | undefined => {
    try {
      const traceparent = message.headers?.get(traceHeader);
      return {
        message: codec.decode(message.data) as SubjectMessages[S],
        ...(traceparent !== undefined && traceparent !== '' && { traceparent }),
      };
    } catch (error) {
      link.log.warn({ err: error, subject }, 'event could not be decoded and is left out');
      return undefined;
    }
  };
  return (async function* () {
    try {
      for await (const message of subscription) {
        const event = decode(message);
        if (event !== undefined) yield event;
      }
    } finally {
      signal.removeEventListener('abort', stop);
      stop();
    }
  })();
};
