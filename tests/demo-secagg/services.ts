// The suite as a cluster runs it: NATS, accountant, secagg service, aggregator and gateway as processes of their own, with certificates between them.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BusCredentials, type NatsServer, startNatsServer } from '@aegis/bus';
import { type DevPki, openDevPki, readTls, systemRandom, type TlsFiles } from '@aegis/service-kit';
import { projectRoot } from '../../cli/src/python.ts';
import { prepareStateDirectory, type StateDirectory, writeConnectionFile } from '../../cli/src/state-directory.ts';
import { freePorts } from '../../cli/src/suite/free-port.ts';
import { ensureKeyFile } from '../../cli/src/suite/key-file.ts';
import { findNatsServer } from '../../cli/src/suite/nats-child.ts';
import { ensureOperatorToken } from '../../cli/src/suite/operator-token.ts';
import { rawHttp } from '../../services/gateway/src/testing/wire-client.ts';

const SERVICES = ['privacy-accountant', 'secagg', 'aggregator', 'gateway'] as const;
type ServiceName = (typeof SERVICES)[number];

export interface Federation {
  /** PEM files. */
  readonly root: string;
  readonly crl: string;
}

/** Where something listens, and who it says it is. */
export interface Door {
  readonly name: string;
  readonly port: number;
}

export class SeparateServices {
  readonly #state: StateDirectory;
  readonly #federation: Federation;
  readonly #env: NodeJS.ProcessEnv;
  readonly #children: { readonly name: ServiceName; readonly child: ChildProcess; readonly gone: Promise<unknown> }[] =
    [];
  #nats: NatsServer | undefined;
  #pki: DevPki | undefined;
  #ports: ReadonlyMap<ServiceName, number> = new Map();

  constructor(state: StateDirectory, federation: Federation, env: NodeJS.ProcessEnv) {
    this.#state = state;
    this.#federation = federation;
    this.#env = env;
  }

  /** Of the services among themselves; no node has a certificate of it. */
  get pki(): DevPki {
    if (this.#pki === undefined) throw new Error('the services were never started');
    return this.#pki;
  }

  get facts(): { address: string; ca: string } {
    return { address: `127.0.0.1:${this.#port('gateway')}`, ca: this.pki.ca };
  }

  get credentials(): BusCredentials {
    if (this.#nats === undefined) throw new Error('NATS is not up');
    return this.#nats.credentials;
  }

  /** All that is to be reached only with a certificate of a service; the gateway's port is for nodes. */
  get innerDoors(): Door[] {
    const inner = SERVICES.filter((name) => name !== 'gateway').map((name) => ({ name, port: this.#port(name) }));
    return [...inner, { name: 'nats', port: this.#nats?.port ?? 0 }];
  }

  /** Resolves when the gateway answers; it waits for the others itself. */
  async start(signal: AbortSignal): Promise<{ address: string; ca: string }> {
    const state = this.#state;
    await prepareStateDirectory(state);
    this.#pki = await openDevPki(state.pki);
    await ensureOperatorToken(state.operatorToken, systemRandom);
    for (const file of [state.unitKey, state.restKey, state.auditKey]) await ensureKeyFile(file, systemRandom);
    this.#nats = await startNatsServer({
      ...{ binary: await findNatsServer(this.#env), storeDir: state.nats, keyFile: state.natsKey, port: 0 },
      ...{ logFile: state.natsLog, tls: await this.#certificate('nats') },
    });
    const ports = await freePorts(SERVICES.length);
    this.#ports = new Map(SERVICES.map((name, index) => [name, ports[index] ?? 0]));
    for (const name of SERVICES) await this.#launch(name);
    const { address, ca } = this.facts;
    const target = { host: '127.0.0.1', port: this.#port('gateway'), ca: await readFile(ca) };
    const isUp = () =>
      rawHttp(target, undefined, { path: '/health', method: 'GET', signal }).then(
        () => true,
        () => false,
      );
    while (!(await isUp())) {
      const ended = this.#children.find(({ child }) => child.exitCode !== null);
      if (ended) throw new Error(`${ended.name} ended before it was up:\n${await this.#lastWords(ended.name)}`);
      await sleep(100, undefined, { signal });
    }
    await writeConnectionFile(state, { address, ca, tokenFile: state.operatorToken, insecure: false });
    return { address, ca };
  }

  async end(): Promise<void> {
    for (const { child, gone } of this.#children.reverse()) {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(force);
    }
    await this.#nats?.stop();
  }

  async #launch(name: ServiceName): Promise<void> {
    const config = join(this.#state.root, `${name}.yaml`);
    await mkdir(join(this.#state.root, 'log'), { recursive: true, mode: 0o700 });
    // JSON is YAML.
    await writeFile(config, JSON.stringify(await this.#configOf(name), null, 2), { mode: 0o600 });
    const log = await open(this.#logFile(name), 'a');
    const main = join(projectRoot, 'services', name, 'src/main.ts');
    const stdio = ['ignore' as const, log.fd, log.fd];
    const child = spawn(process.execPath, [main, '--config', config], { env: this.#env, stdio });
    await log.close();
    this.#children.push({ name, child, gone: new Promise((resolve) => child.once('exit', resolve)) });
  }

  async #configOf(name: ServiceName): Promise<object> {
    const state = this.#state;
    const own = await this.#certificate(name);
    const to = (peer: ServiceName, tls = own) => ({
      ...{ address: `127.0.0.1:${this.#port(peer)}`, 'server-name': peer, tls },
    });
    const listen = (callers: Record<string, string[]>) => ({
      ...{ address: `127.0.0.1:${this.#port(name)}`, tls: own, callers },
    });
    switch (name) {
      case 'privacy-accountant':
        return {
          ...{ accountant: { 'state-dir': state.accountant }, nats: await this.#busOf(own) },
          listen: listen({
            'aegis.privacy.v1.Ledger': ['aggregator'],
            'aegis.privacy.v1.LedgerReader': ['aggregator', 'gateway'],
            'aegis.privacy.v1.LedgerOperator': ['gateway'],
          }),
        };
      case 'secagg':
        return {
          secagg: { 'federation-root': this.#federation.root, 'federation-crl': this.#federation.crl, threads: 1 },
          listen: listen({ 'aegis.secagg.v1.Relay': ['gateway'], 'aegis.secagg.v1.Rounds': ['aggregator'] }),
          nats: await this.#busOf(own),
        };
      case 'aggregator':
        return {
          aggregator: { 'state-dir': state.aggregator },
          listen: listen({ 'aegis.aggregator.v1.Intake': ['gateway'], 'aegis.aggregator.v1.Runs': ['gateway'] }),
          ...{ nats: await this.#busOf(own), accountant: to('privacy-accountant'), secagg: to('secagg') },
        };
      case 'gateway': {
        const edge = await this.#certificate('edge');
        const { root, crl } = this.#federation;
        return {
          gateway: {
            listen: `127.0.0.1:${this.#port('gateway')}`,
            tls: { cert: edge.cert, key: edge.key, 'client-ca': root, 'client-crl': crl },
            ...{ 'client-certificates': 'require', enrolment: 'registered', control: 'loopback' },
            ...{ 'operator-token-file': state.operatorToken, 'unit-key-file': state.unitKey },
            ...{ 'audit-key-file': state.auditKey },
          },
          ...{ nats: await this.#busOf(own), aggregator: to('aggregator'), accountant: to('privacy-accountant') },
          secagg: to('secagg'),
        };
      }
    }
  }

  async #busOf(tls: TlsFiles): Promise<object> {
    if (this.#nats === undefined) throw new Error('NATS is not up');
    const { url, credentials } = this.#nats;
    const password = join(this.#state.root, 'keys', 'nats.password');
    await writeFile(password, credentials.password.reveal(), { mode: 0o600 });
    return { servers: [url], user: credentials.user, 'password-file': password, tls };
  }

  #certificate(name: string): Promise<TlsFiles> {
    return this.pki.issue({ name, hosts: [name, 'localhost', '127.0.0.1'] });
  }

  #port(name: ServiceName): number {
    return this.#ports.get(name) ?? 0;
  }

  #logFile(name: ServiceName): string {
    return join(this.#state.root, 'log', `${name}.log`);
  }

  async #lastWords(name: ServiceName): Promise<string> {
    const text = await readFile(this.#logFile(name), 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-10).join('\n');
  }
}

/** A certificate of one of the services, for whoever means to pass for it. */
export const materialOf = async (pki: DevPki, name: string) =>
  readTls(await pki.issue({ name, hosts: [name, 'localhost', '127.0.0.1'] }));
