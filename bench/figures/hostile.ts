import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Attackers } from '../measure/attackers.ts';
import { pin, prefer } from '../measure/cores.ts';
import { Fleet } from '../measure/fleet.ts';
import { cpuBetween, cpuSecondsOf, watchMemory } from '../measure/processes.ts';
import { withScratch } from '../measure/scratch.ts';
import type { Dialect, PacedReport } from '../nodes/protocol.ts';
import { SeparateAegis } from '../peers/aegis-separate.ts';
import { type BenchContext, type Benchmark, fixed, type Reading } from './contract.ts';
import { megabytes } from './notes.ts';

// What honest nodes notice of an attack, and what being armed costs when there is none.

const DIALECTS: readonly Dialect[] = ['http', 'grpc'];
/** Of each dialect. */
const NODES = 24;
const HOSTILE = 1_000;
const HOSTILE_ADDRESSES = 50;
/** The gateway has one core; whoever calls it, and what is behind it, the other. */
const [GATEWAY_CORE, OTHER_CORE] = [0, 1];
const HONEST_LOAD = 0.3;
const CAPACITY_SECONDS = 8;
const SECONDS = 30;
/** Until all attackers are there. */
const RAMP_SECONDS = 5;

const OVERHEAD_TURNS = 6;
const OVERHEAD_SECONDS = 5;
/** Without proofs everybody stays a stranger. */
const UNLIMITED = { 'calls-of-strangers': 1_000_000_000 };
const UNGUARDED = fileURLToPath(new URL('../peers/unguarded.ts', import.meta.url));

const fleetOf = async (folder: string, server: SeparateAegis, dialect: Dialect): Promise<Fleet> => {
  const fleet = new Fleet(folder);
  await fleet.connect({
    ...{ host: server.host, port: server.ports[dialect], ca: server.ca, dialect, nodes: NODES },
    ...{ rounds: 0, connectConcurrency: 8, emptyPauseMs: 3_000, addresses: 1, idle: false },
  });
  return fleet;
};

const gatewayOf = ({ processes }: SeparateAegis) => processes.filter(({ name }) => name === 'gateway');

/** A gateway on its core, with honest nodes of both dialects on the other. */
const withSiege = <T>(
  work: (server: SeparateAegis, fleets: readonly Fleet[], folder: string) => Promise<T>,
): Promise<T> =>
  withScratch(async (folder) => {
    const server = await SeparateAegis.start(join(folder, 'suite'));
    const fleets: Fleet[] = [];
    try {
      for (const { name, pid } of server.processes) {
        pin([pid], name === 'gateway' ? GATEWAY_CORE : OTHER_CORE);
        prefer(pid);
      }
      for (const dialect of DIALECTS) {
        const fleet = await fleetOf(folder, server, dialect);
        pin([fleet.pid], OTHER_CORE);
        // They share their core with the attackers; only the gateway shall have to defend itself.
        prefer(fleet.pid);
        fleets.push(fleet);
      }
      return await work(server, fleets, folder);
    } finally {
      for (const fleet of fleets) await fleet.stop();
      await server.stop();
    }
  });

/** Calls per core-second of the gateway, both dialects at once, as fast as they are answered. */
const capacityOf = async (server: SeparateAegis, fleets: readonly Fleet[]): Promise<number> => {
  const cpu = { begin: cpuSecondsOf([]), end: cpuSecondsOf([]) };
  const note = (moment: 'begin' | 'end'): void => {
    cpu[moment] = cpuSecondsOf(gatewayOf(server));
  };
  const reports = await Promise.all(fleets.map((fleet) => fleet.calls(2, CAPACITY_SECONDS, note)));
  const calls = reports.reduce((sum, report) => sum + report.calls, 0);
  return calls / cpuBetween(cpu.begin, cpu.end).total;
};

interface Felt extends PacedReport {
  /** Cores that the gateway used. */
  readonly cores: number;
  readonly peakBytes: number;
}

/** The honest load for a while, both dialects together. */
const feel = async (
  server: SeparateAegis,
  fleets: readonly Fleet[],
  perSecond: number,
  seconds: number,
): Promise<Felt> => {
  const gateway = gatewayOf(server);
  const memory = watchMemory(gateway);
  const before = cpuSecondsOf(gateway);
  const begin = performance.now();
  const reports = await Promise.all(fleets.map((fleet) => fleet.paced(perSecond / fleets.length, seconds)));
  const cores = cpuBetween(before, cpuSecondsOf(gateway)).total / ((performance.now() - begin) / 1_000);
  const sum = (of: (report: PacedReport) => number): number => reports.reduce((all, report) => all + of(report), 0);
  const worst = (of: (report: PacedReport) => number): number => Math.max(...reports.map(of));
  return {
    ...{ seconds, cores, peakBytes: memory.stop().bytes },
    ...{
      due: sum((r) => r.due),
      answered: sum((r) => r.answered),
      failed: sum((r) => r.failed),
      late: sum((r) => r.late),
    },
    reasons: Object.assign({}, ...reports.map(({ reasons }) => reasons)) as Record<string, number>,
    ...{ medianMs: worst((r) => r.medianMs), longMs: worst((r) => r.longMs) },
  };
};

const described = ({ due, answered, failed, late, medianMs, longMs, cores }: Felt): string =>
  `${answered} of ${due} answered (${failed} failed, ${late} late), median ${medianMs.toFixed(0)} ms, 99 % ${longMs.toFixed(0)} ms, ${cores.toFixed(2)} of its core`;

const underAttack = ({ log }: BenchContext): Promise<{ goodput: Reading; memory: Reading }> =>
  withSiege(async (server, fleets, folder) => {
    const capacity = await capacityOf(server, fleets);
    const perSecond = HONEST_LOAD * capacity;
    const calm = await feel(server, fleets, perSecond, SECONDS);
    log(`  undisturbed: ${described(calm)}`);
    const attackers = new Attackers(join(folder, 'attackers.log'));
    try {
      pin([attackers.pid], OTHER_CORE);
      await attackers.begin({
        ...{ host: server.host, port: server.ports.http, ca: server.ca },
        ...{ connections: HOSTILE, addresses: HOSTILE_ADDRESSES },
      });
      await feel(server, fleets, perSecond, RAMP_SECONDS);
      const siege = await feel(server, fleets, perSecond, SECONDS);
      log(`  attacked: ${described(siege)} ${JSON.stringify(siege.reasons)}`);
      const { kinds } = await attackers.report();
      const waves = Object.entries(kinds).map(([name, { begun, sent }]) => `${name} ${begun} connections ${sent} sent`);
      log(`  ${waves.join(', ')}`);
      await attackers.stop();
      await sleep(2_000);
      const after = await feel(server, fleets, perSecond, 5);
      const goodput = siege.answered / siege.due / (calm.answered / calm.due);
      return {
        goodput: {
          value: goodput,
          note: `capacity ${capacity.toFixed(0)} calls per core-second, honest ${perSecond.toFixed(0)} per second, one in ten over a new connection; undisturbed ${described(calm)}; attacked ${described(siege)}; afterwards ${described(after)}; ${HOSTILE} hostile connections from ${HOSTILE_ADDRESSES} addresses: ${waves.join(', ')}`,
        },
        memory: {
          value: siege.peakBytes / 1e6,
          note: `resident memory of the gateway, peak; ${megabytes(calm.peakBytes)} MB undisturbed, ${megabytes(after.peakBytes)} MB afterwards`,
        },
      };
    } finally {
      await attackers.stop();
    }
  });

/** CPU of one call with the checks ÷ without, in turns on two gateways that are both up. */
const overhead = (): Promise<Reading> =>
  withScratch(async (folder) => {
    const notes: string[] = [];
    const ratios: number[] = [];
    for (const dialect of DIALECTS) {
      const open: { side: 'on' | 'off'; server: SeparateAegis; fleet: Fleet }[] = [];
      try {
        for (const side of ['on', 'off'] as const) {
          const suite = join(folder, `${dialect}-${side}`);
          const server =
            side === 'on'
              ? await SeparateAegis.start(suite)
              : await SeparateAegis.start(suite, { limits: UNLIMITED }, ['--import', UNGUARDED]);
          open.push({ side, server, fleet: await fleetOf(suite, server, dialect) });
        }
        const turns = { on: { cpu: 0, calls: 0 }, off: { cpu: 0, calls: 0 } };
        for (let turn = 0; turn < OVERHEAD_TURNS; turn += 1) {
          // Each goes first as often as the other.
          for (const { side, server, fleet } of turn % 2 === 0 ? open : open.toReversed()) {
            const cpu = { begin: cpuSecondsOf([]), end: cpuSecondsOf([]) };
            const { calls, failed } = await fleet.calls(1, OVERHEAD_SECONDS, (moment) => {
              cpu[moment] = cpuSecondsOf(gatewayOf(server));
            });
            if (failed > 0) throw new Error(`${failed} of ${calls} calls failed`);
            turns[side].cpu += cpuBetween(cpu.begin, cpu.end).total;
            turns[side].calls += calls;
          }
        }
        const each = (side: 'on' | 'off'): number => turns[side].cpu / turns[side].calls;
        ratios.push(each('on') / each('off'));
        notes.push(
          `${dialect} ${(1e6 * each('on')).toFixed(0)} µs with, ${(1e6 * each('off')).toFixed(0)} µs without, ${(each('on') / each('off')).toFixed(3)}`,
        );
      } finally {
        for (const { fleet, server } of open) {
          await fleet.stop();
          await server.stop();
        }
      }
    }
    return {
      value: Math.max(...ratios),
      note: `the worse dialect counts; the gateway's CPU for a heartbeat, every signature verified: ${notes.join('; ')}`,
    };
  });

export const hostile: Benchmark = {
  when: 'named',
  figures: [
    {
      id: 'hostile-goodput',
      unit: 'of undisturbed',
      sense: 'rate',
      must: { text: '0.90', limit: fixed(0.9) },
      aim: '0.98',
      meaning:
        'heartbeats of honest nodes answered in time while 1,000 hostile connections attack, the gateway on one core',
      shortfall: 'Handshakes and refusals of the attackers take the core that the honest calls need.',
    },
    {
      id: 'hostile-memory',
      unit: 'MB',
      sense: 'cost',
      must: { text: 'bounded', limit: fixed(768) },
      aim: 'as undisturbed',
      meaning: 'peak of resident memory of the gateway during that attack; more than 768 counts as unbounded',
      shortfall: 'Connections and bodies of the attackers are held in memory.',
    },
  ],
  measure: async (context) => {
    if (!context.sides.includes('aegis')) return [];
    const { goodput, memory } = await underAttack(context);
    return [
      { id: 'hostile-goodput', aegis: goodput, peer: null },
      { id: 'hostile-memory', aegis: memory, peer: null },
    ];
  },
};

export const securityOverhead: Benchmark = {
  when: 'named',
  figures: [
    {
      id: 'security-overhead',
      unit: '×',
      sense: 'cost',
      must: { text: '1.3', limit: fixed(1.3) },
      aim: '1.1',
      meaning:
        'CPU of an authenticated call with admission and replay checks ÷ without, the signature verified in both',
      shortfall: 'Each call is looked up and remembered in JavaScript.',
    },
  ],
  measure: async ({ sides, log }) => {
    if (!sides.includes('aegis')) return [];
    const cost = await overhead();
    log(`  ${cost.value.toFixed(3)} (${cost.note})`);
    return [{ id: 'security-overhead', aegis: cost, peer: null }];
  },
};
