// `aegis guard … -- flower-supernode …`: one data owner's guard with a stock SuperNode behind it.
import { closeSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { minorOf, type Role } from '../../cli/src/demo/cast.ts';
import { flowerEnvironment } from '../../cli/src/demo/supernode.ts';
import { ProcessGroup } from '../../cli/src/processes/process-group.ts';
import { projectRoot } from '../../cli/src/python.ts';
import type { OwnerFiles } from './federation.ts';

export interface AuditLine {
  readonly event: string;
  readonly task: string;
  readonly run: string;
  readonly round?: number;
  readonly kind?: string;
  readonly [fact: string]: unknown;
}

export interface GuardedNodeOptions {
  readonly role: Role;
  readonly owner: OwnerFiles;
  readonly federationRoot: string;
  readonly server: { readonly address: string; readonly ca: string };
  readonly policy: string;
  /** Folder of the release's programs. */
  readonly bin: string;
  readonly folder: string;
  /** For the SuperNode's own children on loopback. */
  readonly runtimePort: number;
  readonly nodes: number;
  readonly env: NodeJS.ProcessEnv;
}

const LOOK_MS = 20;

export class GuardedNode {
  readonly role: Role;
  readonly #options: GuardedNodeOptions;
  readonly #state: string;
  #group: ProcessGroup | undefined;

  constructor(options: GuardedNodeOptions) {
    this.role = options.role;
    this.#options = options;
    this.#state = join(options.folder, options.role.name);
  }

  async start(): Promise<void> {
    const { role, owner, federationRoot, server, policy, bin, folder, runtimePort, nodes, env } = this.#options;
    await mkdir(this.#state, { recursive: true, mode: 0o700 });
    const policyFile = join(folder, `${role.name}.yaml`);
    await writeFile(policyFile, policy);
    const supernode = [
      join(bin, 'flower-supernode'),
      ...['--node-config', `partition-id=${role.partition} num-partitions=${nodes}`],
      ...(minorOf(role.release) >= 38
        ? ['--host', '127.0.0.1', '--port', String(runtimePort)]
        : ['--clientappio-api-address', `127.0.0.1:${runtimePort}`]),
    ];
    const guard = [
      ...[join(projectRoot, 'cli/bin/aegis.ts'), 'guard', '--server', server.address, '--ca', server.ca],
      ...['--certificate', owner.certificate, '--key', owner.key, '--policy', policyFile, '--state', this.#state],
      ...['--signing-certificate', owner.signingCertificate, '--signing-key', owner.signingKey],
      ...['--federation-root', federationRoot, '--', ...supernode],
    ];
    const output = openSync(join(folder, `${role.name}.log`), 'a');
    const environment = flowerEnvironment(env, bin, join(this.#state, 'flwr'));
    this.#group = new ProcessGroup(process.execPath, guard, { env: environment, cwd: folder, output });
    closeSync(output); // the group has its own
  }

  /** kill -9 of the guard; its SuperNode goes with it. */
  async kill(): Promise<void> {
    await this.#group?.kill();
  }

  /** The guard stands still, with everything that comes through it. */
  pause(): void {
    this.#group?.child.kill('SIGSTOP');
  }

  resume(): void {
    this.#group?.child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    this.resume();
    await this.#group?.end(5_000);
  }

  get isRunning(): boolean {
    return this.#group?.running ?? false;
  }

  /** What the owner reads: every decision, written before what it is about happened. */
  async audit(event: string): Promise<AuditLine[]> {
    const text = await readFile(join(this.#state, 'audit.jsonl'), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line): AuditLine => JSON.parse(line))
      .filter((line) => line.event === event);
  }

  /** Resolves with the first such line. */
  async says(event: string, is: (line: AuditLine) => boolean, signal: AbortSignal): Promise<AuditLine> {
    for (;;) {
      const found = (await this.audit(event)).find(is);
      if (found) return found;
      await sleep(LOOK_MS, undefined, { signal });
    }
  }

  /** Resolves when its shares of a round are written down and on their way: then what came before them is gone. */
  async hasShared(task: string, signal: AbortSignal): Promise<void> {
    const rounds = join(this.#state, 'rounds');
    for (;;) {
      const files = await readdir(rounds).catch((): string[] => []);
      await sleep(LOOK_MS, undefined, { signal });
      if (!files.includes(`${task}.advertise.sealed`)) return;
    }
  }

  async lastWords(): Promise<string> {
    const text = await readFile(join(this.#options.folder, `${this.role.name}.log`), 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-15).join('\n');
  }
}
