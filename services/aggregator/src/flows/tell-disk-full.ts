import { AegisError } from '@aegis/errors';
import type { Ground } from './ground.ts';

const EVERY_MS = 60_000;

/**
 * A full disk stops a run without ending it: whoever looks at the run, or at our log, is told why it stands still, and again
 * each minute. Any other error is not looked at.
 */
export function tellDiskFull(
  { clock, log, peers, measures, diskFullTold }: Ground,
  runId: bigint,
  caught: unknown,
): void {
  const error = AegisError.from(caught);
  if (error.code !== 'DISK_FULL') return;
  const now = clock.monotonic();
  for (const [run, at] of diskFullTold) if (now - at >= EVERY_MS) diskFullTold.delete(run);
  if (diskFullTold.has(runId)) return;
  diskFullTold.set(runId, now);
  measures.diskFull.add(1);
  const { code } = error;
  const { public: what, todo } = error.entry;
  log.warn({ runId, code, todo, err: error }, 'the disk is full; the run waits');
  peers.feed.log(runId, `${code}: ${what} ${todo} The run goes on by itself then.`);
}
