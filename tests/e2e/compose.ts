// Runs deploy/docker/compose.yaml with the Docker engine alone: the part of Compose that our file uses, and no key beyond it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';

export const composeFile = resolve(import.meta.dirname, '../../deploy/docker/compose.yaml');

interface Service {
  readonly image: string;
  readonly user: string;
  readonly read_only: boolean;
  readonly restart: string;
  readonly stop_grace_period: string;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly tmpfs: readonly string[];
  readonly networks: readonly string[];
  readonly volumes: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: readonly string[];
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>;
}

/** @param variables those of prepare.ts. A variable that the file needs and nobody gave is an error, as in Compose. */
export const readCompose = (variables: Readonly<Record<string, string>>): ComposeFile => {
  const text = readFileSync(composeFile, 'utf8').replace(/\$\{(\w+)(?::\?[^}]*)?\}/g, (_whole, name: string) => {
    const value = variables[name];
    if (value === undefined) throw new Error(`${name} is not set`);
    return value;
  });
  const { name: _name, ...file } = parse(text, { merge: true });
  const sections = Object.keys(file).filter((key) => !key.startsWith('x-'));
  if (sections.join() !== 'services,networks') throw new Error(`this runs no ${sections.join(', ')}`);
  return file;
};

export const docker = (...args: readonly string[]): string =>
  execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

/** One project: its networks and containers are called PROJECT_NAME. */
export class Project {
  readonly #name: string;
  readonly #file: ComposeFile;

  constructor(name: string, file: ComposeFile) {
    this.#name = name;
    this.#file = file;
  }

  up(): void {
    for (const [name, network] of Object.entries(this.#file.networks)) {
      docker('network', 'create', ...(network?.internal ? ['--internal'] : []), `${this.#name}_${name}`);
    }
    for (const name of this.#order()) this.#start(name);
  }

  /** The container of a service. */
  container(name: string): string {
    return `${this.#name}_${name}`;
  }

  logs(): string {
    const of = (name: string): string => {
      const args = ['logs', this.container(name)];
      return execFileSync('sh', ['-c', 'docker "$@" 2>&1', 'sh', ...args], { encoding: 'utf8' });
    };
    return Object.keys(this.#file.services)
      .map((name) => `== ${name}\n${of(name)}`)
      .join('\n');
  }

  /** Takes away what is there, also of a start that failed. */
  down(): void {
    const ours = docker('ps', '--all', '--quiet', '--filter', `label=aegis.project=${this.#name}`);
    if (ours !== '') docker('rm', '--force', '--volumes', ...ours.split('\n'));
    const networks = docker('network', 'ls', '--quiet', '--filter', `name=^${this.#name}_`);
    if (networks !== '') docker('network', 'rm', ...networks.split('\n'));
  }

  #start(name: string): void {
    const service = this.#file.services[name] as Service;
    const { image, user, read_only, restart, stop_grace_period, cap_drop, security_opt, tmpfs, networks, ...rest } =
      service;
    const { volumes, ports = [], depends_on: _order, ...unknown } = rest;
    const [key] = Object.keys(unknown);
    if (key !== undefined) throw new Error(`services.${name}.${key}: this does not know what it means`);
    const [first, ...more] = networks;
    const each = (flag: string, values: readonly string[]): string[] => values.flatMap((value) => [flag, value]);
    docker(
      ...['create', '--name', this.container(name), '--label', `aegis.project=${this.#name}`, '--user', user],
      ...['--restart', restart, '--stop-timeout', String(Number.parseInt(stop_grace_period, 10))],
      ...['--network', `${this.#name}_${first}`, '--network-alias', name, ...(read_only ? ['--read-only'] : [])],
      ...[...each('--cap-drop', cap_drop), ...each('--security-opt', security_opt), ...each('--tmpfs', tmpfs)],
      ...each(
        '--volume',
        volumes.map((volume) => volume.replace(/^\.(?=\/)/, resolve(composeFile, '..'))),
      ),
      ...[...each('--publish', ports), image],
    );
    for (const network of more) {
      docker('network', 'connect', '--alias', name, `${this.#name}_${network}`, this.container(name));
    }
    docker('start', this.container(name));
  }

  #order(): readonly string[] {
    const done: string[] = [];
    const add = (name: string): void => {
      if (done.includes(name)) return;
      for (const before of this.#file.services[name]?.depends_on ?? []) add(before);
      done.push(name);
    };
    for (const name of Object.keys(this.#file.services)) add(name);
    return done;
  }
}
