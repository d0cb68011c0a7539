// make soak: random lists until the time is over (SOAK_SECONDS, default one hour) or a rule is broken. SOAK_SEED: the first seed.
import { hunt, RuleBroken } from './hunt.ts';

const seconds = Number(process.env.SOAK_SECONDS ?? 3600);
let seed = Number(process.env.SOAK_SEED ?? Date.now() % 1_000_000_000);
const LINE_MS = 10_000;
const BATCH = 20;

process.on('unhandledRejection', (error) => {
  console.error(`seed ${seed} or one of the ${BATCH} after it left a promise unhandled:`, error);
  process.exit(1);
});

const began = performance.now();
let lists = 0;
let operations = 0;
let takeovers = 0;
const ends = new Map<string, number>();
let nextLine = began + LINE_MS;

const line = (): string => {
  const spent = (performance.now() - began) / 1000;
  const how = [...ends].map(([end, count]) => `${count} ${end}`).join(', ');
  const memory = Math.round(process.memoryUsage.rss() / 2 ** 20);
  return `${spent.toFixed(0)} s: ${lists} lists (${(lists / spent).toFixed(0)}/s), ${operations} operations, ${takeovers} takeovers; runs ${how}; next seed ${seed}; ${memory} MB`;
};

try {
  while (performance.now() - began < seconds * 1000) {
    const tally = await hunt(seed, BATCH);
    seed += BATCH;
    lists += tally.lists;
    operations += tally.operations;
    takeovers += tally.takeovers;
    for (const [end, count] of tally.ends) ends.set(end, (ends.get(end) ?? 0) + count);
    if (performance.now() < nextLine) continue;
    nextLine += LINE_MS;
    console.log(line());
  }
  console.log(`soak clean: ${line()}`);
} catch (error) {
  console.error(error instanceof RuleBroken ? error.message : error);
  console.error(line());
  process.exitCode = 1;
}
