import type { BenchApp } from './app.ts';

/** A Flower-speaking server under measurement. */
export interface Server {
  readonly name: string;
  readonly host: string;
  /** Port of the Fleet API for each dialect the server was started with. */
  readonly ports: { http: number; grpc: number };
  /** PEM of the authority behind the server's certificate. */
  readonly ca: string;
  /** Root of the tree of processes whose costs are the server's. */
  readonly pid: number;
  /** Everything that comes before `flwr run`. */
  prepare(app: BenchApp): Promise<void>;
  /** Starts a run of the app with the stock `flwr run`. */
  run(app: BenchApp): Promise<void>;
  stop(): Promise<void>;
}

export type StartServer = (folder: string) => Promise<Server>;
