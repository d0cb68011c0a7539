// One Python process with Flower's newest release, asked about thousands of inputs.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Peer } from './engine.ts';
import type { Question } from './target.ts';

const root = join(import.meta.dirname, '../..');
const RELEASE = '1.41.0';

export class FlowerPeer implements Peer {
  readonly #child: ChildProcess;
  #left = Buffer.alloc(0);
  #hear: () => void = () => {};
  #gone = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on('data', (piece: Buffer) => {
      this.#left = Buffer.concat([this.#left, piece]);
      this.#hear();
    });
    child.once('exit', () => {
      this.#gone = true;
      this.#hear();
    });
  }

  /** Makes the environment when it is not there yet. */
  static start(): FlowerPeer {
    const made = spawnSync(join(root, 'scripts/flwr-venv.sh'), [RELEASE], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`no environment for flwr ${RELEASE}: ${made.stderr}`);
    const script = join(import.meta.dirname, 'peer.py');
    const env = { ...process.env, FLWR_TELEMETRY_ENABLED: '0', PYTHONDONTWRITEBYTECODE: '1' };
    return new FlowerPeer(
      spawn(join(made.stdout.trim(), 'python'), [script], { env, stdio: ['pipe', 'pipe', 'inherit'] }),
    );
  }

  async ask(questions: readonly Question[]): Promise<(string | null)[]> {
    const pieces = questions.flatMap(({ kind, bytes }) => {
      const name = Buffer.from(kind);
      const head = Buffer.alloc(8);
      head.writeUInt32BE(name.byteLength, 0);
      head.writeUInt32BE(bytes.byteLength, 4);
      return [head, name, bytes];
    });
    this.#child.stdin?.write(Buffer.concat(pieces));
    const answers: (string | null)[] = [];
    while (answers.length < questions.length) {
      const length = (await this.#read(4)).readUInt32BE(0);
      answers.push(length === 0 ? null : (await this.#read(length)).toString());
    }
    return answers;
  }

  close(): void {
    this.#child.stdin?.end();
    this.#child.kill();
  }

  async #read(length: number): Promise<Buffer> {
    while (this.#left.byteLength < length) {
      if (this.#gone) throw new Error('the Python process ended');
      await new Promise<void>((resolve) => {
        this.#hear = resolve;
      });
    }
    const bytes = this.#left.subarray(0, length);
    this.#left = this.#left.subarray(length);
    return bytes;
  }
}
