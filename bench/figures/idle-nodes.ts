import { setTimeout as sleep } from 'node:timers/promises';
import { Fleet } from '../measure/fleet.ts';
import { cpuBetween, cpuSecondsOf, residentBytes } from '../measure/processes.ts';
import { withScratch } from '../measure/scratch.ts';
import type { Dialect } from '../nodes/protocol.ts';
import { SeparateAegis } from '../peers/aegis-separate.ts';
import type { StartServer } from '../peers/contract.ts';
import { flowerFor, onBothSides } from './both-sides.ts';
import { type BenchContext, type Benchmark, fixed, type Reading, type Side } from './contract.ts';
import { byProcess } from './notes.ts';

/** Really connected. Flower's server is busy with fewer: it answers every pull at once, so that each node asks every 3 s. */
const CONNECTED: Readonly<Record<Side, number>> = {
  aegis: Number(process.env.AEGIS_BENCH_IDLE_NODES ?? 5_000),
  peer: 200,
};
/** Aegis: one whole cycle of a hold, a pause and a heartbeat before counting, two while counting. Flower's cycle is 3 s. */
const SECONDS: Readonly<Record<Side, { settle: number; count: number }>> = {
  aegis: { settle: 30, count: 46 },
  peer: { settle: 10, count: 24 },
};

/** A stock node's mean pause between heartbeats: (30 − 5) × 0.8. */
const HEARTBEAT_SECONDS = 20;

interface Idle {
  server: string;
  dialect: Dialect;
  connected: number;
  /** Share of the heartbeats that were due; less than 1 if the machine was too busy for the nodes themselves. */
  pace: number;
  /** Cores that were busy. */
  share: number;
  perNodeBytes: number;
  note: string;
}

const serverFor = (side: Side, dialect: Dialect): StartServer =>
  side === 'aegis' ? (folder) => SeparateAegis.start(folder) : flowerFor(dialect);

const seconds = (begin: number): string => ((performance.now() - begin) / 1_000).toFixed(0);

/** Nodes with nothing to do: a pull that is held, a pause of 3 s, the next pull; a heartbeat every 17.5 to 22.5 s. */
const idleNodes = (context: BenchContext, side: Side, dialect: Dialect): Promise<Idle> =>
  withScratch(async (folder) => {
    const connected = CONNECTED[side];
    const server = await serverFor(side, dialect)(folder);
    const fleet = new Fleet(folder);
    try {
      await sleep(2_000);
      const begin = performance.now();
      const empty = residentBytes(server.processes);
      await fleet.connect(
        {
          host: server.host,
          port: server.ports[dialect],
          ca: server.ca,
          dialect,
          nodes: connected,
          rounds: 0,
          connectConcurrency: 64,
          emptyPauseMs: 3_000,
          addresses: 8,
          idle: true,
        },
        600_000,
      );
      const nothing = { total: 0, byProcess: {} };
      const cpu = { begin: nothing, end: nothing };
      context.log(`  ${side}: ${connected} nodes over ${dialect} came in ${seconds(begin)} s`);
      const { settle, count } = SECONDS[side];
      const report = await fleet.idle(settle, count, (moment) => {
        cpu[moment] = cpuSecondsOf(server.processes);
      });
      if (report.lost > 0) throw new Error(`${report.lost} of ${connected} idle nodes were lost`);
      const spent = cpuBetween(cpu.begin, cpu.end);
      const cores = (seconds: number) => (seconds / report.seconds).toFixed(3);
      const pace = Math.min(1, (report.heartbeats / report.seconds) * (HEARTBEAT_SECONDS / connected));
      const perNodeBytes = (residentBytes(server.processes) - empty) / connected;
      const each = (count: number) => (count / report.seconds).toFixed(0);
      const note = [
        `${server.name}, ${dialect}: ${connected} connected use ${cores(spent.total)} cores (${byProcess(spent.byProcess, cores)});`,
        `${each(report.pulls)} pulls, ${each(report.heartbeats)} heartbeats (${report.heartbeatMs.toFixed(0)} ms), ${each(report.handshakes)} new connections per s;`,
        `${report.retries} calls repeated; ${(perNodeBytes / 1e3).toFixed(1)} kB each`,
        ...(pace < 0.9
          ? [`(the nodes fell behind: they count as ${(100 * pace).toFixed(0)} %, their share of due heartbeats)`]
          : []),
      ].join(' ');
      return { server: server.name, dialect, connected, pace, share: spent.total / report.seconds, perNodeBytes, note };
    } finally {
      await fleet.stop();
      await server.stop();
    }
  });

const perCore = ({ connected, pace, share }: Idle): number => (connected * pace) / share;

const nodesReading = (all: Idle[]): Reading => {
  const worse = all.toSorted((a, b) => perCore(a) - perCore(b))[0] as Idle;
  const each = all.map((idle) => `${idle.dialect} ${Math.round(perCore(idle))}`).join(', ');
  return {
    value: perCore(worse),
    note: `per core: ${each}; the worse counts; ${all.map(({ note }) => note).join('; ')}`,
  };
};

const bytesReading = (all: Idle[]): Reading => {
  const each = all.map(({ dialect, perNodeBytes }) => `${dialect} ${(perNodeBytes / 1e3).toFixed(1)} kB`).join(', ');
  const value = Math.max(...all.map(({ perNodeBytes }) => perNodeBytes)) / 1e3;
  return { value, note: `${all[0]?.server}, ${all[0]?.connected} nodes: ${each}; the worse counts` };
};

export const idle: Benchmark = {
  when: 'always',
  figures: [
    {
      id: 'idle-nodes',
      unit: 'nodes per core',
      sense: 'rate',
      must: { text: '5,000', limit: fixed(5_000) },
      aim: '20,000',
      meaning:
        'idle nodes over TLS, pulls held and heartbeats sent, that one core of all server processes together carries: nodes really connected ÷ cores busy',
      shortfall: 'Each heartbeat over HTTP is a new TLS connection and a signature to verify.',
    },
    {
      id: 'idle-node-bytes',
      unit: 'kB',
      sense: 'cost',
      must: { text: 'measured', limit: () => null },
      aim: '50 kB',
      meaning: 'resident memory of all server processes per idle node: with all connected, less with none, ÷ nodes',
      shortfall: '',
    },
  ],
  measure: (context) =>
    onBothSides(context, ['idle-nodes', 'idle-node-bytes'], async (side) => {
      const all: Idle[] = [];
      for (const dialect of ['http', 'grpc'] as const) {
        const one = await idleNodes(context, side, dialect);
        context.log(`  ${side}: ${one.note}`);
        all.push(one);
      }
      return { 'idle-nodes': nodesReading(all), 'idle-node-bytes': bytesReading(all) };
    }),
};
