// Frames that cost us something and say nothing. nghttp2 itself ends a connection that resets a thousand streams, or does not read our answers
// to its pings; this is earlier.

import type { Http2Server, ServerHttp2Session } from 'node:http2';
import { Pace } from './pace.ts';

export interface FramePaces {
  /** Streams in ten seconds, of a connection that nobody vouched for. */
  streams: number;
  /** Pings in ten seconds: C-core sends one for every pause of a large transfer, to measure the line. */
  pings: number;
  /** SETTINGS frames in ten seconds. */
  settings: number;
}

export interface FloodWatch {
  readonly paces: FramePaces;
  isStranger(session: ServerHttp2Session): boolean;
  /** Ends the connection. */
  onFlood(session: ServerHttp2Session): void;
}

export const watchForFloods = (server: Http2Server, { paces, isStranger, onFlood }: FloodWatch): void => {
  server.on('session', (session) => {
    let isOver = false;
    const counted = (pace: Pace, counts: () => boolean) => (): void => {
      if (isOver || session.destroyed || !counts() || pace.step(performance.now())) return;
      // What came in the same piece is still told.
      isOver = true;
      onFlood(session);
      session.destroy();
    };
    session.on('ping', counted(new Pace(paces.pings), always));
    session.on('remoteSettings', counted(new Pace(paces.settings), always));
    session.on(
      'stream',
      counted(new Pace(paces.streams), () => isStranger(session)),
    );
  });
};

const always = (): boolean => true;
