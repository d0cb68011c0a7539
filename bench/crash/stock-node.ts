import { appendFileSync, closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../measure/child.ts';
import { freePort } from '../measure/scratch.ts';
import { flwrBin, flwrEnv } from '../peers/flwr-cli.ts';
import { RESTART_MARK, type Reply, readReplies } from './evidence.ts';

export type Release = '1.41.0' | '1.39.0' | '1.22.0';

export interface StockNodePlace {
  folder: string;
  /** host:port */
  address: string;
  caFile: string;
  partition: number;
  partitions: number;
}

/** An unmodified SuperNode that runs the crash app. */
export class StockNode {
  readonly release: Release;
  readonly #place: StockNodePlace;
  readonly #log: string;
  readonly #tail: Tail;
  #child: Child | null = null;
  /** How often it ended and was started again: not by us. */
  restarts = 0;

  constructor(release: Release, place: StockNodePlace) {
    this.release = release;
    this.#place = place;
    this.#log = join(place.folder, `node-${place.partition}.log`);
    this.#tail = new Tail(this.#log);
  }

  async start(): Promise<void> {
    const { folder, address, caFile, partition, partitions } = this.#place;
    const bin = flwrBin(this.release);
    const port = await freePort();
    const local =
      this.release === '1.22.0' ? ['--clientappio-api-address', `127.0.0.1:${port}`] : ['--port', `${port}`];
    const config = `partition-id=${partition} num-partitions=${partitions} tasks='${join(folder, `node-${partition}.tasks`)}'`;
    const args = ['--superlink', address, '--root-certificates', caFile, '--node-config', config, ...local];
    const env = flwrEnv(join(folder, `node-${partition}`));
    // The client app is a program of the same environment, found by PATH; threads of its arithmetic only cost the server its cores.
    const more = { PATH: `${bin}:${process.env.PATH}`, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' };
    this.#child = new Child(join(bin, 'flower-supernode'), args, {
      env: { ...env, ...more, PYTHONUNBUFFERED: '1' },
      log: this.#log,
      cwd: folder,
    });
  }

  /** Starts it again if it has ended, as a service manager would. */
  async keepAlive(): Promise<void> {
    if (this.#child?.alive) return;
    this.restarts += 1;
    appendFileSync(this.#log, `\n${RESTART_MARK}\n`);
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  /** Replies it began to send and those that were acknowledged, so far. */
  progress(): { begun: number; acknowledged: number } {
    this.#tail.read();
    return { begun: this.#tail.begun, acknowledged: this.#tail.acknowledged };
  }

  replies(): Reply[] {
    return readReplies(readFileSync(this.#log, 'utf8'));
  }
}

/** Counts what is added to a log without reading it again. */
class Tail {
  readonly #file: string;
  #at = 0;
  #rest = '';
  begun = 0;
  acknowledged = 0;

  constructor(file: string) {
    this.#file = file;
  }

  read(): void {
    const descriptor = openSync(this.#file, 'r');
    try {
      const bytes = Buffer.alloc(Math.max(0, fstatSync(descriptor).size - this.#at));
      this.#at += readSync(descriptor, bytes, 0, bytes.length, this.#at);
      const lines = (this.#rest + bytes.toString('utf8')).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.includes('Sending: train message')) this.begun += 1;
        else if (line.includes('Sent successfully')) this.acknowledged += 1;
      }
    } finally {
      closeSync(descriptor);
    }
  }
}
