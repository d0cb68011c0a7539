import { SNAPSHOT_SECONDS } from '../domain/presence.ts';
import { expireNodes } from '../flows/expire-nodes.ts';
import { forgetUnclaimed } from '../flows/forget-unclaimed.ts';
import type { Gateway } from '../flows/gateway.ts';
import type { AllowanceSharing } from '../flows/share-allowances.ts';

const EXPIRY_EVERY_MS = 1_000;
const SHARE_EVERY_MS = 250;
const FORGET_EVERY_MS = 300_000;

/** What happens because time passes, and for no other reason. */
export const startTimers = (gateway: Gateway, sharing?: AllowanceSharing): { stop(): void } => {
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
    ...(sharing ? [every(SHARE_EVERY_MS, () => sharing.tick(gateway.clock.monotonic()))] : []),
    ...(gateway.restKeys ? [every(FORGET_EVERY_MS, () => void forget(gateway))] : []),
  ];
  return {
    stop: () => {
      for (const stop of stops) stop();
    },
  };
};

const forget = (gateway: Gateway): Promise<void> =>
  forgetUnclaimed(gateway).catch((error: unknown) =>
    gateway.log.warn({ err: error }, 'nodes that never asked for work were not forgotten'),
  );
