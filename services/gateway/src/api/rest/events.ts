import type { ServerResponse } from 'node:http';
import { drained } from '@aegis/flower-wire';
import type { Clock } from '@aegis/service-kit';

export interface ServerEvent {
  readonly event: string;
  /** Becomes JSON, on one line. */
  readonly data: unknown;
}

/** Proxies end what is silent for longer. */
const BEAT_MS = 15_000;
/** Then the client comes again and is judged anew: whose token or role was taken away meanwhile is out. */
export const LONGEST_MS = 600_000;
const RETRY_MS = 1_000;
const LOOK_MS = 1_000;

export interface EventStream {
  readonly clock: Pick<Clock, 'schedule'>;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
  /** Called while the caller is there, as far as its system says, every 15 seconds. */
  readonly onBeat?: () => void;
  readonly longestMs?: number;
  /** Asked every second: the stream ends when it may not. */
  readonly mayGoOn?: () => boolean;
}

/**
 * Server-sent events (text/event-stream of the HTML standard): a comment whenever nothing else was to say for 15 seconds. Every event stands for itself, so
 * that a client which was away for a moment has missed nothing that the next one does not say.
 */
export const sendEvents = async (
  response: ServerResponse,
  { clock, signal, onBeat, longestMs = LONGEST_MS, mayGoOn = () => true }: EventStream,
  open: (signal: AbortSignal) => AsyncIterable<ServerEvent>,
): Promise<void> => {
  const over = new AbortController();
  const ending = AbortSignal.any([signal, over.signal]);
  const longest = clock.schedule(longestMs, () => over.abort());
  const look = (): void => {
    if (mayGoOn()) looking = clock.schedule(LOOK_MS, look);
    else over.abort();
  };
  let looking = clock.schedule(LOOK_MS, look);
  let beating = clock.schedule(BEAT_MS, beat);
  function beat(): void {
    onBeat?.();
    // Who does not read is told nothing more: its connection ends by itself.
    if (response.writableLength === 0) response.write(': still here\n\n');
    beating = clock.schedule(BEAT_MS, beat);
  }
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.write(`retry: ${RETRY_MS}\n\n`);
  try {
    for await (const { event, data } of open(ending)) {
      if (ending.aborted) break;
      beating.cancel();
      if (!response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)) await drained(response, ending);
      beating = clock.schedule(BEAT_MS, beat);
    }
  } catch (caught) {
    if (!ending.aborted) throw caught;
  } finally {
    beating.cancel();
    longest.cancel();
    looking.cancel();
  }
  response.end();
};
