import type { Clock } from './clock.ts';

/**
 * How often files of keys and certificates are looked at. Looked at rather than watched: a mounted secret changes behind links that tell nobody.
 * What was revoked is refused within two looks.
 */
export const LOOK_EVERY_MS = 750;

/** Looks again and again, each time so long after the last look was over. `look` never rejects. Returns the way to stop. */
export const lookAgain = (clock: Clock, everyMs: number, look: () => Promise<void>): (() => void) => {
  let stopped = false;
  let next = clock.schedule(everyMs, tick);
  function tick(): void {
    void look().finally(() => {
      if (!stopped) next = clock.schedule(everyMs, tick);
    });
  }
  return () => {
    stopped = true;
    next.cancel();
  };
};
