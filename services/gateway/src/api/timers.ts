import { SNAPSHOT_SECONDS } from '../domain/presence.ts';
import { expireNodes } from '../flows/expire-nodes.ts';
import type { Gateway } from '../flows/gateway.ts';

const EXPIRY_EVERY_MS = 1_000;

/** What happens because time passes, and for no other reason. */
export const startTimers = (gateway: Gateway): { stop(): void } => {
  const every = (ms: number, work: () => void): (() => void) => {
    let next = gateway.clock.schedule(ms, tick);
    function tick(): void {
      next = gateway.clock.schedule(ms, tick);
      work();
    }
    return () => next.cancel();
  };
  const stops = [
    every(EXPIRY_EVERY_MS, () => expireNodes(gateway)),
    every(SNAPSHOT_SECONDS.every * 1000, () => gateway.presence.snapshot(gateway.roster.snapshot())),
  ];
  return {
    stop: () => {
      for (const stop of stops) stop();
    },
  };
};
