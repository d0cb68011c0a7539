import { mkdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { systemRandom, writeFileAtomic } from '@aegis/service-kit';
import { InvalidArgumentError } from 'commander';
import type { AddCommand } from '../context.ts';
import { collect } from '../parse.ts';
import { ensureCertificate } from '../pki.ts';
import { ensureKeyFile } from '../suite/key-file.ts';
import { ensureOperatorToken } from '../suite/operator-token.ts';

interface Options {
  dir: string;
  name: string;
  namespace: string;
  host?: string[];
  keysOnly?: true;
}

/** Who may copy the streams of each account of NATS in the chart (templates/_nats.tpl). */
const backupUsers = ['backup-suite', 'backup-secagg', 'backup-ledger'] as const;
const services = ['gateway', 'aggregator', 'secagg', 'privacy-accountant', 'issuer', 'nats'] as const;

export const addKubernetesSecrets: AddCommand = (program, context) =>
  program
    .command('secrets')
    .description('make the certificates and keys that the Helm chart looks for; what is there already is kept')
    .option('--dir <dir>', 'folder they are made in; keep it, and keep it secret', 'aegis-kubernetes')
    .option(
      '--name <name>',
      'what names of objects begin with: the release, when it is called aegis-…',
      parseName,
      'aegis',
    )
    .option('--namespace <namespace>', 'of the release', parseName, 'aegis')
    .option('--host <host>', 'a name or address that nodes call the gateway by; may be repeated', collect)
    .option('--keys-only', 'no certificates: cert-manager makes them')
    .action(async (options: Options) => {
      const { terminal } = context();
      const dir = resolve(options.dir);
      const { name, namespace } = options;
      await mkdir(dir, { recursive: true, mode: 0o700 });
      // NATS reads its key from the environment as it reads a word of its configuration: what begins with a digit may be a number there.
      const atRest = `k${await keyFile(dir, 'at-rest.key')}`;
      const secrets = [
        ...(options.keysOnly ? [] : await certificates(dir, options)),
        secret(`${name}-gateway-keys`, namespace, await gatewayKeys(dir)),
        secret(`${name}-nats-keys`, namespace, { 'at-rest.key': atRest }),
      ];
      const made = options.keysOnly ? undefined : { ca: join(dir, 'ca.pem'), backup: await backupWay(dir) };
      const file = join(dir, 'secrets.json');
      const list = { apiVersion: 'v1', kind: 'List', items: secrets };
      await writeFileAtomic(file, `${JSON.stringify(list, null, 2)}\n`, 0o600);
      const tokenFile = join(dir, 'operator.token');
      const names = secrets.map((one) => one.metadata.name);
      terminal.result({ file, ...made, tokenFile, secrets: names });
      terminal.line(`${secrets.length} secrets for ${name} in ${namespace}.`);
      terminal.line(`  give them    kubectl apply --server-side -f ${file}`);
      terminal.line(`  nodes trust  ${made?.ca ?? `ca.crt of the secret ${name}-edge-tls`}`);
      terminal.line(`  operators    aegis … --ca ${made?.ca ?? 'CA'} --token-file ${tokenFile}`);
      if (made === undefined) return;
      terminal.line(
        `  backups      kubectl -n ${namespace} port-forward svc/${name}-nats 4222, aegis backup --nats ${made.backup} …`,
      );
    });

interface SecretManifest {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly type: 'Opaque';
  readonly stringData: Readonly<Record<string, string>>;
}

const secret = (name: string, namespace: string, stringData: Record<string, string>): SecretManifest => ({
  ...{ apiVersion: 'v1', kind: 'Secret', type: 'Opaque' },
  metadata: { name, namespace },
  stringData,
});

/** One certificate for each service, by its bare name and by those the chart gives it; one for the port that nodes call. */
async function certificates(dir: string, { name, namespace, host = [] }: Options): Promise<SecretManifest[]> {
  const now = Date.now();
  const made: SecretManifest[] = [];
  for (const service of services) {
    const hosts = [service, `${name}-${service}.${namespace}.svc`];
    // by localhost: whoever makes a backup, through a forwarded port
    if (service === 'nats') hosts.push(`*.${name}-nats-headless.${namespace}.svc`, 'localhost');
    const files = await ensureCertificate(dir, service, { hosts, now });
    made.push(secret(`${name}-${service}-tls`, namespace, await pem(files)));
  }
  const inside = `${name}-gateway.${namespace}.svc`;
  const edge = await ensureCertificate(dir, 'edge', { hosts: ['localhost', '127.0.0.1', '::1', inside, ...host], now });
  return [...made, secret(`${name}-edge-tls`, namespace, await pem(edge))];
}

/** The file for `aegis backup --nats`. What it names stays here: the cluster needs none of it, and whoever has it can read all that NATS keeps, and write into it. */
async function backupWay(dir: string): Promise<string> {
  const now = Date.now();
  const ways: object[] = [];
  for (const user of backupUsers) {
    const files = await ensureCertificate(dir, user, { hosts: [user], now });
    const tls = { ca: basename(files.ca), cert: basename(files.cert), key: basename(files.key) };
    ways.push({ servers: ['tls://localhost:4222'], tls });
  }
  const file = join(dir, 'backup.json');
  await writeFileAtomic(file, `${JSON.stringify({ nats: ways }, null, 2)}\n`, 0o600);
  return file;
}

const pem = async (files: { ca: string; cert: string; key: string }): Promise<Record<string, string>> => ({
  'ca.crt': await readFile(files.ca, 'utf8'),
  'tls.crt': await readFile(files.cert, 'utf8'),
  'tls.key': await readFile(files.key, 'utf8'),
});

async function gatewayKeys(dir: string): Promise<Record<string, string>> {
  const token = join(dir, 'operator.token');
  await ensureOperatorToken(token, systemRandom);
  const keys: Record<string, string> = { 'operator.token': await readFile(token, 'utf8') };
  for (const name of ['unit.key', 'rest.key', 'audit.key']) keys[name] = await keyFile(dir, name);
  return keys;
}

async function keyFile(dir: string, name: string): Promise<string> {
  const file = join(dir, name);
  await ensureKeyFile(file, systemRandom);
  return (await readFile(file, 'utf8')).trim();
}

function parseName(text: string): string {
  if (!/^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$/.test(text))
    throw new InvalidArgumentError('It must be lower-case letters, digits and hyphens, at most 40.');
  return text;
}
