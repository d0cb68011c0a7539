import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '@aegis/service-kit';
import { openSshPrivateKey, openSshPublicLine } from '../keys/openssh-private-key.ts';
import { ProcessGroup } from '../processes/process-group.ts';
import { minorOf, type Role } from './cast.ts';

/** A node's key pair in the files that flower-supernode reads. */
export interface NodeKey {
  readonly privateFile: string;
  readonly publicFile: string;
  readonly publicKey: Buffer;
}

export async function createNodeKey(folder: string, name: string, random: Random): Promise<NodeKey> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { privateKey }: { privateKey: KeyObject } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  const privateFile = join(folder, `${name}.key`);
  const publicFile = `${privateFile}.pub`;
  const publicKey = Buffer.from(`${openSshPublicLine(createPublicKey(privateKey), name)}\n`);
  await writeFile(privateFile, openSshPrivateKey(privateKey, name, random.bytes(4)), { mode: 0o600 });
  await writeFile(publicFile, publicKey);
  return { privateFile, publicFile, publicKey };
}

export interface SuperNodeOptions {
  readonly role: Role;
  readonly nodes: number;
  /** Folder of the release's programs. */
  readonly bin: string;
  readonly key: NodeKey;
  readonly address: string;
  readonly ca: string;
  /** For the node's own children on loopback. */
  readonly runtimePort: number;
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface SuperNode {
  readonly role: Role;
  readonly group: ProcessGroup;
  /** The last lines it wrote. */
  lastWords(): Promise<string>;
}

/** The options of `flower-supernode` for this release: those on which releases differ are chosen here. */
export function supernodeArguments(options: Omit<SuperNodeOptions, 'folder' | 'env' | 'bin'>): string[] {
  const { role, nodes, key, address, ca, runtimePort } = options;
  const minor = minorOf(role.release);
  return [
    ...['--superlink', address],
    ...['--root-certificates', ca],
    ...['--auth-supernode-private-key', key.privateFile],
    // Needed to 1.22, deprecated afterwards.
    ...(minor <= 22 ? ['--auth-supernode-public-key', key.publicFile] : []),
    ...(minor >= 38
      ? ['--host', '127.0.0.1', '--port', String(runtimePort)]
      : ['--clientappio-api-address', `127.0.0.1:${runtimePort}`]),
    ...['--node-config', `partition-id=${role.partition} num-partitions=${nodes}`],
  ];
}

/** Variables that keep a Flower program to itself: a home of its own, quiet, and no proxy before loopback. */
export const flowerEnvironment = (env: NodeJS.ProcessEnv, bin: string, home: string): NodeJS.ProcessEnv => ({
  ...env,
  PATH: `${bin}:${env.PATH ?? ''}`,
  FLWR_HOME: home,
  FLWR_TELEMETRY_ENABLED: '0',
  FLWR_DISABLE_UPDATE_CHECK: '1',
  NO_PROXY: '127.0.0.1,localhost',
  no_proxy: '127.0.0.1,localhost',
  PYTHONUNBUFFERED: '1',
});

export async function startSuperNode(options: SuperNodeOptions): Promise<SuperNode> {
  const { role, bin, folder, env } = options;
  const home = join(folder, role.name);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const logFile = join(folder, `${role.name}.log`);
  const log = openSync(logFile, 'w');
  const group = new ProcessGroup(join(bin, 'flower-supernode'), supernodeArguments(options), {
    env: flowerEnvironment(env, bin, home),
    cwd: home,
    output: log,
  });
  closeSync(log); // the group has its own
  return {
    role,
    group,
    lastWords: async () => (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-15).join('\n'),
  };
}
