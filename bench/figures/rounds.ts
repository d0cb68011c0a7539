import { Fleet } from '../measure/fleet.ts';
import { type CpuSeconds, cpuSecondsOf, type PeakMemory, watchMemory } from '../measure/processes.ts';
import { withScratch } from '../measure/scratch.ts';
import type { Dialect, FleetReport } from '../nodes/protocol.ts';
import { type BenchAppSettings, writeBenchApp } from '../peers/app.ts';
import type { StartServer } from '../peers/contract.ts';

export interface RoundsRequest extends BenchAppSettings {
  dialect: Dialect;
  timeoutMs: number;
  /** Signatures made ahead by each node; 0: one per call. */
}

export interface RoundsResult {
  server: string;
  report: FleetReport;
  memory: PeakMemory;
  /** Server CPU seconds at the moment the first task of each round reached a node. */
  cpuAtFirstTask: Map<number, CpuSeconds>;
}

/** A whole run of the bench app on a fresh server, with simulated nodes in another process. */
export function runRounds(start: StartServer, request: RoundsRequest): Promise<RoundsResult> {
  return withScratch(async (folder) => {
    const server = await start(folder);
    const fleet = new Fleet(folder);
    try {
      const { nodes, parameters, rounds, dialect } = request;
      const app = await writeBenchApp(folder, { nodes, parameters, rounds });
      await server.prepare(app);
      const cpuAtFirstTask = new Map<number, CpuSeconds>();
      fleet.onFirstTask = (round) => cpuAtFirstTask.set(round, cpuSecondsOf(server.processes));
      await fleet.connect({
        host: server.host,
        port: server.ports[dialect],
        ca: server.ca,
        dialect,
        nodes,
        rounds,
        connectConcurrency: 8,
        emptyPauseMs: 3_000,
        addresses: 1,
        idle: false,
      });
      const memory = watchMemory(server.processes);
      await server.run(app);
      const report = await fleet.finished(request.timeoutMs);
      return { server: server.name, report, memory: memory.stop(), cpuAtFirstTask };
    } finally {
      await fleet.stop();
      await server.stop();
    }
  });
}

/** Seconds from the first task of a round to the first task of the next: what one round takes, however it ends. */
export function roundSeconds({ rounds }: FleetReport): number[] {
  const starts = rounds.toSorted((a, b) => a.round - b.round).map(({ firstTask }) => firstTask);
  return starts.slice(1).map((start, index) => (start - (starts[index] as number)) / 1_000);
}

/** Seconds from the last acknowledged answer of a round to the first task of the next: without what the nodes do. */
export function secondsAfterAnswers({ rounds }: FleetReport): number[] {
  const sorted = rounds.toSorted((a, b) => a.round - b.round);
  return sorted.slice(1).map(({ firstTask }, index) => (firstTask - (sorted[index]?.lastAnswer ?? firstTask)) / 1_000);
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
