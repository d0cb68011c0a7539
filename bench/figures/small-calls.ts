import { Fleet } from '../measure/fleet.ts';
import { cpuSecondsOf } from '../measure/processes.ts';
import { withScratch } from '../measure/scratch.ts';
import type { Dialect } from '../nodes/protocol.ts';
import type { StartServer } from '../peers/contract.ts';
import { onBothSides, serverOf } from './both-sides.ts';
import type { Benchmark, Reading } from './contract.ts';

const CONNECTIONS = 24;
const SIGNATURES = 64;

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
        signaturesAhead: SIGNATURES,
        connectConcurrency: 8,
        emptyPauseMs: 3_000,
      });
      const cpu = { begin: 0, end: 0 };
      const report = await fleet.calls(4, 12, (moment) => {
        cpu[moment] = cpuSecondsOf(server.pid);
      });
      if (report.failed > 0) throw new Error(`${report.failed} of ${report.calls} calls failed`);
      const spent = cpu.end - cpu.begin;
      const wall = (report.calls / report.seconds).toFixed(0);
      const note = `${server.name}: ${report.calls} calls in ${report.seconds.toFixed(1)} s (${wall}/s), ${spent.toFixed(2)} CPU s`;
      return { value: report.calls / spent, note };
    } finally {
      await fleet.stop();
      await server.stop();
    }
  });

const smallCalls = (id: string, dialect: Dialect, must: string, meaning: string): Benchmark => ({
  long: false,
  figures: [{ id, unit: 'calls per core-second', sense: 'rate', must, aim: '2,000', meaning }],
  measure: (context) =>
    onBothSides(context, [id], async (side) => ({ [id]: await callsPerCoreSecond(serverOf(side, dialect), dialect) })),
});

export const rpcHttp = smallCalls(
  'rpc-http',
  'http',
  '1,000',
  'authenticated heartbeats over HTTP and TLS per second of server CPU, the signature of each verified',
);

export const rpcGrpc = smallCalls(
  'rpc-grpc',
  'grpc',
  '1,200',
  'the same over gRPC; the peer is flwr 1.39, the last release whose Fleet API is gRPC',
);
