import { Fleet } from '../measure/fleet.ts';
import { cpuBetween, cpuSecondsOf } from '../measure/processes.ts';
import { withScratch } from '../measure/scratch.ts';
import type { Dialect } from '../nodes/protocol.ts';
import type { StartServer } from '../peers/contract.ts';
import { boundAegis, onBothSides, serverOf } from './both-sides.ts';
import { type Benchmark, fixed, type Reading } from './contract.ts';
import { byProcess } from './notes.ts';

const CONNECTIONS = 24;
const WARMUP_SECONDS = 4;
const SECONDS = 12;

/** Heartbeats, each with its own signature, as fast as the server answers; divided by the server's CPU seconds. */
const callsPerCoreSecond = (start: StartServer, dialect: Dialect): Promise<Reading> =>
  withScratch(async (folder) => {
    const server = await start(folder);
    const fleet = new Fleet(folder);
    try {
      await fleet.connect({
        host: server.host,
        port: server.ports[dialect],
        ca: server.ca,
        dialect,
        nodes: CONNECTIONS,
        rounds: 0,
        connectConcurrency: 8,
        emptyPauseMs: 3_000,
        addresses: 1,
        idle: false,
      });
      const nothing = { total: 0, byProcess: {} };
      const cpu = { begin: nothing, end: nothing };
      const report = await fleet.calls(WARMUP_SECONDS, SECONDS, (moment) => {
        cpu[moment] = cpuSecondsOf(server.processes);
      });
      if (report.failed > 0) throw new Error(`${report.failed} of ${report.calls} calls failed`);
      const spent = cpuBetween(cpu.begin, cpu.end);
      const wall = (report.calls / report.seconds).toFixed(0);
      const shares = byProcess(spent.byProcess, (seconds) => seconds.toFixed(2));
      const note = `${server.name}: ${report.calls} calls in ${report.seconds.toFixed(1)} s (${wall}/s), ${spent.total.toFixed(2)} CPU s (${shares})`;
      return { value: report.calls / spent.total, note };
    } finally {
      await fleet.stop();
      await server.stop();
    }
  });

interface Demand {
  must: number;
  meaning: string;
  shortfall: string;
}

function smallCalls(id: string, dialect: Dialect, each: Demand, bound: Demand): Benchmark {
  const spec = (name: string, aim: string, { must, meaning, shortfall }: Demand) => ({
    id: name,
    unit: 'calls per core-second',
    sense: 'rate' as const,
    must: { text: must.toLocaleString('en-US'), limit: fixed(must) },
    aim,
    meaning,
    shortfall,
  });
  const boundId = `${id}-bound`;
  return {
    when: 'always',
    figures: [spec(id, '2,000', each), spec(boundId, '10,000', bound)],
    measure: (context) =>
      onBothSides(context, [id, boundId], async (side) => {
        const verified = await callsPerCoreSecond(serverOf(side, dialect), dialect);
        // flwr verifies every signature: its reading is the same for both.
        if (side === 'peer') return { [id]: verified, [boundId]: verified };
        const { value, note } = await callsPerCoreSecond(boundAegis, dialect);
        return {
          [id]: verified,
          [boundId]: { value, note: `${note}; one signature per connection verified` },
        };
      }),
  };
}

export const rpcHttp = smallCalls(
  'rpc-http',
  'http',
  {
    must: 1_000,
    meaning: 'authenticated heartbeats over HTTP and TLS per second of server CPU, the signature of each verified',
    shortfall: 'A P-384 verification costs most of the call.',
  },
  {
    must: 3_000,
    meaning: 'the same, the signature verified once per connection and key',
    shortfall: "Without the signature, Node's own TLS and HTTP parsing are most of the call.",
  },
);

export const rpcGrpc = smallCalls(
  'rpc-grpc',
  'grpc',
  {
    must: 1_200,
    meaning: 'the same over gRPC; the peer is flwr 1.39, the last release whose Fleet API is gRPC',
    shortfall: 'A P-384 verification and the HTTP/2 streams of Node cost about the same.',
  },
  {
    must: 4_000,
    meaning: 'the same over gRPC, the signature verified once per connection and key',
    shortfall: "Without the signature, Node's HTTP/2 streams and grpc-js are nearly all of the call.",
  },
);
