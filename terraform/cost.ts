// What spot nodes and autoscaling save on a stated load, computed and written into README.md between its markers.
//   node terraform/cost.ts                        write the table
//   node terraform/cost.ts --check                fail if it is not up to date
//   node terraform/cost.ts --assume spot=0.035 --assume sites=100    print the table for other assumptions, write nothing
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Assumption {
  readonly value: number;
  readonly unit: string;
  readonly source: string;
}

const LISTED = "AWS's list for us-east-1, as last known to the authors in 2025; look the present one up";
const NETWORK = 'zacfukuda.com/blog/aws-nat-gateway-vs-vpc-endpoint, us-east-1 on 2026-06-01';
const BENCH = 'bench/README.md, 2026-11-27';

/** Everything the table is computed from. Prices are US dollars without tax. */
export const ASSUMPTIONS: Readonly<Record<string, Assumption>> = {
  runs: { value: 4, unit: 'masked runs at once', source: 'the stated load' },
  sites: { value: 250, unit: 'sites in each run', source: 'the stated load' },
  parameters: { value: 10e6, unit: 'float32 parameters of a model', source: 'the stated load' },
  roundsPerHour: { value: 1, unit: 'rounds an hour, all runs at the same minute', source: 'the stated load' },
  finishSeconds: {
    value: 300,
    unit: 's in which a round is to be moved, summed and unmasked',
    source: 'the stated load',
  },
  hours: { value: 176, unit: 'hours a month in which rounds run (8 h on 22 days)', source: 'the stated load' },
  month: { value: 730, unit: 'hours of a month', source: 'AWS bills by it' },
  gateway: {
    value: 7.14,
    unit: 'CPU s of gateways per GB',
    source: `${BENCH}: cpu-per-gb-separate, 11.42 s for 1.6 GB`,
  },
  aggregator: { value: 7.23, unit: 'CPU s of aggregators per GB', source: `${BENCH}: the same, 11.56 s for 1.6 GB` },
  unmask: {
    value: 270.2,
    unit: 'CPU s of secagg for 1,000 sites and a million parameters, taken as linear in both',
    source: `${BENCH}: secagg-1000x1m`,
  },
  cores: { value: 2, unit: 'vCPU of a node (m6i.large)', source: 'AWS' },
  busy: {
    value: 0.6,
    unit: 'of a node is used at the peak; the rest is headroom and the cluster itself',
    source: 'chosen',
  },
  base: { value: 3, unit: 'nodes that always run, one a zone', source: 'examples/production' },
  lag: {
    value: 1.1,
    unit: 'times as long spot nodes run as they are needed',
    source: 'chosen: start, and ten idle minutes',
  },
  onDemand: { value: 0.096, unit: '$ an hour, m6i.large on demand', source: LISTED },
  spot: {
    value: 0.0509,
    unit: '$ an hour, m6i.large spot',
    source: "53 % of on demand, the example in AWS's Auto Scaling guide (c5.2xlarge: 0.180 of 0.34); usually less",
  },
  disk: { value: 50 * 0.08, unit: '$ a month for the 50 GiB of a node, gp3', source: LISTED },
  volumes: {
    value: (3 * 20 + 1 + 3 * 10) * 0.08,
    unit: '$ a month for aggregators, accountant and NATS, gp3',
    source: LISTED,
  },
  eks: { value: 0.1, unit: '$ an hour for the control plane', source: LISTED },
  nat: { value: 0.045, unit: '$ an hour for a NAT gateway, three', source: NETWORK },
  endpoint: { value: 0.01, unit: '$ an hour, endpoint and zone; eleven in three zones', source: NETWORK },
  balancer: { value: 0.0285, unit: '$ an hour for the NLB (0.0225) and one capacity unit (0.006)', source: LISTED },
  keys: { value: 7 + 4 * 0.4, unit: '$ a month for seven KMS keys and four secrets', source: LISTED },
  out: { value: 0.09, unit: '$ per GB to sites over the internet', source: LISTED },
};

export interface Line {
  readonly what: string;
  readonly how: string;
  readonly fixed: number;
  readonly scaled: number;
}

export interface Bill {
  readonly peakCores: number;
  readonly peakNodes: number;
  readonly lines: readonly Line[];
  readonly cluster: { readonly fixed: number; readonly scaled: number; readonly saved: number };
  readonly dataOut: number;
  readonly withDataSaved: number;
}

/** The same load on nodes enough for its peak, all month and on demand, and on the nodes of examples/production. Dollars a month. */
export function bill(a: Readonly<Record<keyof typeof ASSUMPTIONS, number>>): Bill {
  const value = (key: string): number => a[key] as number;
  const round = (value('runs') * value('sites') * value('parameters') * 4) / 1e9;
  const unmask = value('runs') * value('unmask') * (value('sites') / 1000) * (value('parameters') / 1e6);
  const peakCores = (round * (value('gateway') + value('aggregator')) + unmask) / value('finishSeconds');
  const peakNodes = Math.max(value('base'), Math.ceil(peakCores / (value('cores') * value('busy'))));
  const burst = peakNodes - value('base');
  const share = (value('hours') * value('lag')) / value('month');
  const same = (what: string, how: string, cost: number): Line => ({ what, how, fixed: cost, scaled: cost });
  const month = value('month');
  const lines: Line[] = [
    {
      what: 'nodes that always run',
      how: `${value('base')} × ${month} h × ${value('onDemand')}; fixed: ${peakNodes}`,
      fixed: peakNodes * month * value('onDemand'),
      scaled: value('base') * month * value('onDemand'),
    },
    {
      what: 'spot nodes for the peak',
      how: `${burst} × ${value('hours')} h × ${value('lag')} × ${value('spot')}`,
      fixed: 0,
      scaled: burst * value('hours') * value('lag') * value('spot'),
    },
    {
      what: 'disks of the nodes',
      how: `${value('disk').toFixed(2)} each, spot nodes for their hours`,
      fixed: peakNodes * value('disk'),
      scaled: (value('base') + burst * share) * value('disk'),
    },
    same('volumes', 'aggregators, accountant, NATS', value('volumes')),
    same('EKS', `${month} h × ${value('eks')}`, month * value('eks')),
    same('NAT gateways', `3 × ${month} h × ${value('nat')}`, 3 * month * value('nat')),
    same('VPC endpoints', `11 × 3 × ${month} h × ${value('endpoint')}`, 33 * month * value('endpoint')),
    same('load balancer', `${month} h × ${value('balancer')}`, month * value('balancer')),
    same('keys and secrets', '7 × 1 + 4 × 0.40', value('keys')),
  ];
  const sum = (side: 'fixed' | 'scaled') => lines.reduce((total, line) => total + line[side], 0);
  const [fixed, scaled] = [sum('fixed'), sum('scaled')];
  const dataOut = round * value('roundsPerHour') * value('hours') * value('out');
  return {
    peakCores,
    peakNodes,
    lines,
    cluster: { fixed, scaled, saved: 1 - scaled / fixed },
    dataOut,
    withDataSaved: (fixed - scaled) / (fixed + dataOut),
  };
}

const dollars = (value: number) => value.toFixed(2);
const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

/** The table and what it rests on, in Markdown. */
export function table(a: Readonly<Record<string, number>>): string {
  const b = bill(a);
  const nodes = b.lines.slice(0, 3);
  const computeFixed = nodes.reduce((total, line) => total + line.fixed, 0);
  const computeScaled = nodes.reduce((total, line) => total + line.scaled, 0);
  return [
    `The load needs ${b.peakCores.toFixed(1)} cores while a round is moved, summed and unmasked: ${b.peakNodes} nodes.`,
    '',
    '| $ a month | sized for the peak, on demand | `examples/production` | how |',
    '|---|--:|--:|---|',
    ...b.lines.map((line) => `| ${line.what} | ${dollars(line.fixed)} | ${dollars(line.scaled)} | ${line.how} |`),
    `| **cluster** | **${dollars(b.cluster.fixed)}** | **${dollars(b.cluster.scaled)}** | **saved: ${percent(b.cluster.saved)}** (target 35 %); nodes and disks alone ${percent(1 - computeScaled / computeFixed)} |`,
    `| models to sites over the internet | ${dollars(b.dataOut)} | ${dollars(b.dataOut)} | nothing here makes it cheaper; with it ${percent(b.withDataSaved)} of the whole is saved |`,
    '',
    '| assumption | value | | source |',
    '|---|--:|---|---|',
    ...Object.entries(ASSUMPTIONS).map(
      ([name, { unit, source }]) =>
        `| \`${name}\` | ${Number((a[name] as number).toPrecision(6))} | ${unit} | ${source} |`,
    ),
  ].join('\n');
}

export const defaults = (): Record<string, number> =>
  Object.fromEntries(Object.entries(ASSUMPTIONS).map(([name, { value }]) => [name, value]));

function assumed(args: readonly string[]): Record<string, number> | undefined {
  const values = defaults();
  let changed = false;
  args.forEach((argument, i) => {
    if (argument !== '--assume') return;
    const [name, text] = (args[i + 1] ?? '').split('=');
    const value = Number(text);
    if (!name || !(name in values)) {
      throw new Error(`--assume ${args[i + 1] ?? ''}: the assumptions are ${Object.keys(values).join(', ')}`);
    }
    if (!Number.isFinite(value) || value < 0 || !text)
      throw new Error(`--assume ${name}: a number of at least 0 is needed`);
    values[name] = value;
    changed = true;
  });
  return changed ? values : undefined;
}

function main(): void {
  const args = process.argv.slice(2);
  const other = assumed(args);
  if (other) {
    console.log(table(other));
    return;
  }
  const file = join(import.meta.dirname, 'README.md');
  const before = readFileSync(file, 'utf8');
  const after = before.replace(
    /(<!-- cost: .*? -->\n)[\s\S]*?(<!-- end of cost -->)/,
    (_, head: string, end: string) => `${head}${table(defaults())}\n${end}`,
  );
  if (!args.includes('--check')) writeFileSync(file, after);
  else if (before !== after) {
    console.error('terraform/README.md: the cost table is not what cost.ts computes; run node terraform/cost.ts');
    process.exitCode = 1;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    main();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 2;
  }
}
