// The same work on Aegis and on Flower's own server, side by side in one run. `make bench` starts this.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { BENCHMARKS, SPECS } from './figures/all.ts';
import type { BenchContext, Benchmark, Side } from './figures/contract.ts';
import { endEverything, stopEverything } from './measure/child.ts';
import { describeCommit, describeMachine, otherLoad } from './measure/machine.ts';
import { ROOT } from './peers/flwr-cli.ts';
import { stderrLog } from './report/log.ts';
import { renderPlots } from './report/plots/render.ts';
import { type FigureResult, merge, readResults, toResult, writeResults } from './report/results.ts';
import { renderReadme, renderTable } from './report/table.ts';

const USAGE = `node bench/main.ts [figure …] [--long] [--side aegis|peer [--keep]] [--render] [--kills N] [--seed N]
  figure   only these (default: all that need no --long): ${SPECS.map(({ id }) => id).join(', ')}
  --long   also the figures that take many minutes and gigabytes
  --side   measure one side and print it; results and README stay as they are
  --keep   with --side: keep what was measured, the other side as not measured
  --kills  how many processes crash-lost-updates kills (default: 200); it runs only by name
  --seed   repeats the moments and victims of a crash-lost-updates
  --render only write README.md and the plots from results/latest.json`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    long: { type: 'boolean', default: false },
    side: { type: 'string' },
    keep: { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
    kills: { type: 'string', default: '200' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function chosen(): Benchmark[] {
  const unknown = positionals.filter((id) => !SPECS.some((spec) => spec.id === id));
  if (unknown.length > 0) throw new Error(`no figure ${unknown.join(', ')}\n${USAGE}`);
  if (positionals.length === 0)
    return BENCHMARKS.filter(({ when }) => when === 'always' || (when === 'long' && values.long));
  return BENCHMARKS.filter(({ figures }) => figures.some(({ id }) => positionals.includes(id)));
}

function sides(): Side[] {
  if (values.side === undefined) return ['aegis', 'peer'];
  if (values.side === 'aegis' || values.side === 'peer') return [values.side];
  throw new Error(`no side ${values.side}\n${USAGE}`);
}

/** A whole number that is not negative. */
function whole(name: 'kills' | 'seed', text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} ${text} is not a whole number\n${USAGE}`);
  return Number(text);
}

/** A figure of one side alone must not replace a comparison by mistake. */
const keeps = ({ sides }: BenchContext): boolean => sides.length === 2 || values.keep;

/** Measures one after the other and keeps what was measured, even if a later one fails. */
async function measureAll(benchmarks: Benchmark[], context: BenchContext): Promise<number> {
  const origin = { date: new Date().toISOString(), machine: describeMachine(), commit: describeCommit(ROOT) };
  const load = otherLoad();
  if (load) context.log(load);
  let failures = 0;
  for (const benchmark of benchmarks) {
    context.log(benchmark.figures.map(({ id }) => id).join(', '));
    try {
      const comparisons = await benchmark.measure(context);
      const fresh = benchmark.figures.map((spec): FigureResult => {
        const comparison = comparisons.find(({ id }) => id === spec.id);
        return toResult(spec, comparison ?? { id: spec.id, aegis: null, peer: null }, { ...origin, caveat: load });
      });
      if (keeps(context)) await writeResults(merge(await readResults(), origin.machine, fresh));
    } catch (error) {
      failures += 1;
      context.log(`  failed: ${(error as Error).message}`);
      await stopEverything();
    }
  }
  return failures;
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const context: BenchContext = {
    sides: sides(),
    kills: whole('kills', values.kills),
    seed: whole('seed', values.seed ?? `${randomInt(1_000_000)}`),
    log: stderrLog,
  };
  const failures = values.render ? 0 : await measureAll(chosen(), context);
  if (keeps(context)) {
    const results = await readResults();
    await renderReadme(results, SPECS, await renderPlots(results, SPECS));
    console.log(renderTable(results, SPECS));
  }
  return failures === 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    endEverything().finally(() => process.exit(130));
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
} finally {
  await stopEverything();
}
