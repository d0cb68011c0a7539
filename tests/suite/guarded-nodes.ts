import { createPrivateKey } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SigningKey } from '@aegis/core-native/secagg';
import { loadPolicy, runGuard } from '@aegis/guard';
import {
  createCrl,
  createRoot,
  issueCertificate,
  noTelemetry,
  openSigningCertificate,
  readRoots,
  silentLogger,
  type Telemetry,
} from '@aegis/service-kit';
import { eventually } from '@aegis/testkit';
import type { Target } from '../../services/gateway/src/testing/wire-client.ts';
import { type App, WorkingNode } from './nodes.ts';

/** A federation's root in files, and guards that it admitted, each with a SuperNode that looks stock from the wire. */
export class GuardedNodes {
  readonly root: string;
  readonly crl: string;
  readonly #folder: string;
  readonly #issued = new Map<string, Awaited<ReturnType<typeof issueCertificate>>>();
  readonly #authority: Awaited<ReturnType<typeof createRoot>>;

  private constructor(folder: string, authority: Awaited<ReturnType<typeof createRoot>>) {
    this.#folder = folder;
    this.#authority = authority;
    this.root = join(folder, 'root.pem');
    this.crl = join(folder, 'crl.pem');
  }

  static async in(folder: string): Promise<GuardedNodes> {
    const authority = await createRoot('hospitals', 30, Date.now());
    const nodes = new GuardedNodes(folder, authority);
    await writeFile(nodes.root, authority.certPem);
    await writeFile(nodes.crl, await createCrl(authority, [], 30, Date.now()));
    return nodes;
  }

  /** The same for the same name: a guard that is started again is who it was. */
  async #issue(kind: 'guard' | 'signing', name: string) {
    const known = this.#issued.get(`${kind} ${name}`);
    const issued = known ?? (await issueCertificate(this.#authority, { kind, name, days: 9 }, Date.now()));
    this.#issued.set(`${kind} ${name}`, issued);
    return issued;
  }

  /** Resolves when the server knows it. */
  async start(
    name: string,
    { host, port, ca = Buffer.alloc(0) }: Target,
    policy: string,
    app: App,
    telemetry: Telemetry = noTelemetry,
  ) {
    const certificate = await this.#issue('guard', name);
    const signing = await this.#issue('signing', name);
    const state = join(this.#folder, name);
    await mkdir(state, { recursive: true });
    const policyFile = join(state, 'policy.yaml');
    await writeFile(policyFile, policy);
    const roots = readRoots(this.#authority.certPem);
    const stopping = new AbortController();
    const connected = Promise.withResolvers<bigint>();
    const key = createPrivateKey(signing.keyPem).export({ type: 'pkcs8', format: 'der' });
    const ended = runGuard({
      ...{ address: `${host}:${port}`, serverName: 'localhost', state, policyFile, loaded: loadPolicy(policyFile) },
      ...{ command: ['flower-supernode'], env: {}, log: silentLogger, signal: stopping.signal, telemetry },
      signing: {
        ...{ certificatePem: signing.certPem, key: SigningKey.fromPkcs8(key) },
        open: (pem, now) => openSigningCertificate(pem, roots, now),
      },
      tls: { ca, cert: Buffer.from(certificate.certPem), key: Buffer.from(certificate.keyPem) },
      say: (line) => line.includes('as node ') && connected.resolve(BigInt(line.split('as node ')[1] ?? 0)),
      launch: (_command, args) => {
        const [at = ''] = args.slice(args.indexOf('--superlink') + 1);
        const node = new WorkingNode({ host: '127.0.0.1', port: Number(at.split(':')[1]) }, 'A', app);
        const { promise, resolve } = Promise.withResolvers<{ code: number | null }>();
        void eventually(() => node.start()).catch(() => {});
        return { ended: promise, end: () => node.kill().then(() => resolve({ code: 0 })) };
      },
    });
    ended.catch((error: Error) => connected.reject(error));
    const nodeId = await connected.promise;
    const end = async (): Promise<void> => {
      stopping.abort(new Error('the test is over'));
      await ended.catch(() => {});
    };
    return { nodeId, end, auditFile: join(state, 'audit.jsonl') };
  }
}
