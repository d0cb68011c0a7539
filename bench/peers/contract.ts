import type { BenchApp } from './app.ts';

/** The root of a tree of processes, with the name its costs are shown under. */
export interface ServerProcess {
  name: string;
  pid: number;
}

/** A Flower-speaking server under measurement. */
export interface Server {
  readonly name: string;
  readonly host: string;
  /** Port of the Fleet API for each dialect the server was started with. */
  readonly ports: { http: number; grpc: number };
  /** PEM of the authority behind the server's certificate. */
  readonly ca: string;
  /** All processes whose costs are the server's, at this moment. */
  readonly processes: readonly ServerProcess[];
  /** Everything that comes before `flwr run`. */
  prepare(app: BenchApp): Promise<void>;
  /** Starts a run of the app with the stock `flwr run`; its id. */
  run(app: BenchApp): Promise<bigint>;
  stop(): Promise<void>;
}

export type StartServer = (folder: string) => Promise<Server>;
