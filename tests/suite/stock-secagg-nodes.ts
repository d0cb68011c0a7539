// Nodes of a real flwr release under `secaggplus_mod`, in a process of their own.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { makeObject } from '@aegis/flower-wire';

const root = join(import.meta.dirname, '../..');

/** Real mods in a process of their own. */
export class StockNodes {
  private readonly process: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(python: string) {
    this.process = spawn(python, [join(import.meta.dirname, 'stock_secagg_nodes.py')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { stdout } = this.process;
    if (stdout === null) throw new Error('the nodes have no output');
    this.lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  private async line(): Promise<{ object?: string; error?: string }> {
    const { value, done } = await this.lines.next();
    if (done === true) throw new Error('the nodes are gone');
    return JSON.parse(value);
  }

  async begin(): Promise<this> {
    await this.line();
    return this;
  }

  async ask(node: bigint, body: Buffer): Promise<Buffer> {
    const object = makeObject('ConfigRecord', [], body).bytes.toString('hex');
    this.process.stdin?.write(`${JSON.stringify({ node: String(node), object })}\n`);
    const said = await this.line();
    if (said.object === undefined) throw new Error(`node ${node} failed: ${said.error}`);
    const answer = Buffer.from(said.object, 'hex');
    return answer.subarray(answer.indexOf(0) + 1);
  }

  end(): void {
    this.process.stdin?.end();
  }
}

/** Installed when it is not there yet. */
export const pythonOf = async (release: string): Promise<string> => {
  const { stdout } = await promisify(execFile)(join(root, 'scripts/flwr-venv.sh'), [release]);
  return join(stdout.trim(), 'python');
};
