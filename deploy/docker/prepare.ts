// Certificates, keys and folders for the compose file, and its .env:
//   node deploy/docker/prepare.ts [--state FOLDER] [--publish 127.0.0.1:9443] [--host NAME]… [--env FILE]
// What is there already stays: run it again to add a host name. The authority is for development; its key stays in FOLDER/pki.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openDevPki } from '@aegis/service-kit';
import { root, version } from '../../scripts/assemble/workspaces.ts';

export interface Prepared {
  readonly state: string;
  /** host:port on this machine. */
  readonly publish: string;
  /** Names and addresses that clients call the gateway by, beside localhost. */
  readonly hosts: readonly string[];
}

const folders: Readonly<Record<string, readonly string[]>> = {
  nats: ['data'],
  'privacy-accountant': ['data', 'anchor'],
  secagg: [],
  aggregator: ['data'],
  gateway: [],
};

/** @returns the variables of the compose file. */
export const prepare = async ({ state, publish, hosts }: Prepared): Promise<Record<string, string>> => {
  const pki = await openDevPki(join(state, 'pki'));
  const secret = (file: string, content: () => string): void => {
    if (!existsSync(file)) writeFileSync(file, content(), { mode: 0o600 });
  };
  for (const [name, own] of Object.entries(folders)) {
    const secrets = join(state, name, 'secrets');
    for (const folder of ['secrets', ...own]) mkdirSync(join(state, name, folder), { recursive: true, mode: 0o700 });
    const outside = name === 'gateway' ? hosts : [];
    const files = await pki.issue({ name, hosts: [name, 'localhost', '127.0.0.1', ...outside] });
    copyFileSync(files.ca, join(secrets, 'ca.pem'));
    copyFileSync(files.cert, join(secrets, 'tls.pem'));
    copyFileSync(files.key, join(secrets, 'tls.key'));
  }
  const key = (): string => randomBytes(32).toString('hex');
  secret(join(state, 'nats/secrets/jetstream.conf'), () => `key: "${key()}"\n`);
  for (const file of ['operator.token', 'unit.key', 'audit.key']) secret(join(state, 'gateway/secrets', file), key);
  federation(state);
  const user = ownerOf(state);
  return { AEGIS_VERSION: version, AEGIS_STATE: state, AEGIS_PUBLISH: publish, AEGIS_USER: user };
};

/**
 * The federation's root, in STATE/ca as `aegis ca init` makes it: `aegis ca issue NAME --kind guard --dir STATE/ca` lets a guard in. Of a
 * federation that exists, put root.pem and crl.pem there before: the key is not needed here.
 */
const federation = (state: string): void => {
  const folder = join(state, 'ca');
  if (!existsSync(join(folder, 'root.pem'))) {
    const aegis = join(root, 'cli/bin/aegis.ts');
    execFileSync(process.execPath, [aegis, 'ca', 'init', '--dir', folder, '--federation', 'laptop', '--json']);
  }
  for (const name of ['gateway', 'secagg']) {
    for (const file of ['root.pem', 'crl.pem']) {
      copyFileSync(join(folder, file), join(state, name, 'secrets', `federation-${file}`));
    }
  }
};

/** The containers run as whoever typed this; where that is root, as the user of the images, and the files are made that user's. */
const ownerOf = (state: string): string => {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if (uid !== 0) return `${uid}:${gid}`;
  const give = (path: string): void => {
    chownSync(path, 10001, 10001);
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const inside = join(path, entry.name);
      if (entry.isDirectory()) give(inside);
      else chownSync(inside, 10001, 10001);
    }
  };
  for (const name of Object.keys(folders)) give(join(state, name));
  chmodSync(state, 0o755);
  return '10001:10001';
};

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      state: { type: 'string', default: join(import.meta.dirname, 'state') },
      publish: { type: 'string', default: '127.0.0.1:9443' },
      host: { type: 'string', multiple: true, default: [] },
      env: { type: 'string', default: join(import.meta.dirname, '.env') },
    },
  });
  const variables = await prepare({ state: resolve(values.state), publish: values.publish, hosts: values.host });
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(values.env, lines.join(''));
  console.log(`written: ${values.env} and ${variables.AEGIS_STATE}
the gateway will be at ${values.publish}; clients need ${join(variables.AEGIS_STATE as string, 'pki/ca.pem')}
operators: --token-file ${join(variables.AEGIS_STATE as string, 'gateway/secrets/operator.token')}`);
}
