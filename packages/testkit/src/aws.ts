import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll } from 'vitest';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

const root = join(import.meta.dirname, '../../..');
const STARTING_MS = 60_000;

/** S3 and KMS as moto emulates them, in a process of its own, empty. */
export interface TestAws {
  /** Of both services; requests pass through a gate of ours. */
  readonly endpoint: string;
  /** For processes that are to use it: throw-away credentials, as the SDK's chain finds them. */
  readonly env: Readonly<Record<string, string>>;
  /** An outage: connections are cut and refused. What is stored stays. */
  shut(): void;
  open(): void;
  /** Cuts the connection when so many more bytes have gone in. */
  cutAfter(bytes: number): void;
  /** The same, and nothing gets through any more until open(). */
  shutAfter(bytes: number): void;
  /** A new bucket, versioned if asked. Its name. */
  bucket(options?: { versioned?: boolean }): Promise<string>;
  /** A new symmetric key. Its ARN. */
  key(): Promise<string>;
  stop(): Promise<void>;
}

/** Also puts the credentials into this process's environment. */
export const startTestAws = async (): Promise<TestAws> => {
  const made = spawnSync(join(root, 'scripts/moto-venv.sh'), { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`no S3 emulator: ${made.stderr}`);
  const port = await freePort();
  const env = {
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'eu-central-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const child = spawn(made.stdout.trim(), ['-H', '127.0.0.1', '-p', String(port)], {
    stdio: 'ignore',
    env: { ...process.env, ...env, MOTO_S3_CUSTOM_ENDPOINTS: '' },
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  await eventually(
    () =>
      fetch(`http://127.0.0.1:${port}/moto-api/`).then(
        () => true,
        () => false,
      ),
    STARTING_MS,
  );
  Object.assign(process.env, env);
  const gate = await openGate(port);
  const direct = { endpoint: `http://127.0.0.1:${port}` };
  const s3 = new S3Client({ ...direct, forcePathStyle: true });
  const kms = new KMSClient(direct);
  return {
    endpoint: `http://127.0.0.1:${gate.port}`,
    env,
    ...gate.controls,
    bucket: async ({ versioned = false } = {}) => {
      const Bucket = `b-${randomBytes(6).toString('hex')}`;
      const CreateBucketConfiguration = { LocationConstraint: 'eu-central-1' as const };
      await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration }));
      const VersioningConfiguration = { Status: 'Enabled' as const };
      if (versioned) await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
      return Bucket;
    },
    key: async () => (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '',
    stop: async () => {
      s3.destroy();
      kms.destroy();
      await gate.close();
      child.kill('SIGKILL');
      await gone;
    },
  };
};

/** One emulator for all tests of a file. */
export const withAws = (): (() => TestAws) => {
  let aws: TestAws | undefined;
  beforeAll(async () => {
    aws = await startTestAws();
  }, 180_000);
  afterAll(() => aws?.stop());
  return () => {
    if (aws === undefined) throw new Error('withAws(): the emulator runs only while tests do');
    return aws;
  };
};

/** A forwarder before the emulator, so that an outage takes nothing away from what it holds. */
async function openGate(to: number) {
  const sockets = new Set<Socket>();
  let isShut = false;
  let left = Number.POSITIVE_INFINITY;
  let staysShut = false;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    if (isShut) return void client.destroy();
    const behind = connect(to, '127.0.0.1');
    for (const [one, other] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    client.on('data', (piece) => {
      left -= piece.length;
      if (left >= 0) return;
      left = Number.POSITIVE_INFINITY;
      isShut = staysShut;
      cut();
    });
    client.pipe(behind);
    behind.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    controls: {
      shut: () => {
        isShut = true;
        cut();
      },
      open: () => {
        isShut = false;
      },
      cutAfter: (bytes: number) => {
        left = bytes;
        staysShut = false;
      },
      shutAfter: (bytes: number) => {
        left = bytes;
        staysShut = true;
      },
    },
    close: () =>
      new Promise<void>((resolve) => {
        cut();
        server.close(() => resolve());
      }),
  };
}
