import { type Alert, THRESHOLDS } from '../domain/thresholds.ts';
import type { Ground } from './ground.ts';
import { spent } from './spent.ts';

/** Every scope that stands beyond a threshold now, then each that gets there. */
export async function* watch(ground: Ground, signal: AbortSignal): AsyncGenerator<Alert, void, undefined> {
  const stop = new AbortController();
  const news = ground.alerts.follow(AbortSignal.any([signal, stop.signal]));
  // what happens from here on is not missed while the past is read
  const first = news.next();
  try {
    for (const balance of await spent(ground, [])) {
      const percent = THRESHOLDS.findLast((threshold) => balance.used * 100 >= threshold);
      if (percent !== undefined)
        yield { balance, percent, at: ground.clock.now(), detail: `${percent} % of the budget is used.` };
    }
    for (let next = await first; next.done !== true; next = await news.next()) yield next.value;
  } finally {
    stop.abort();
  }
}
