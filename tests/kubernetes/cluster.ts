// The local cluster: cluster.sh of the folder that AEGIS_K8S_SCRIPTS names (default ../shared/k8s beside the repository), built into AEGIS_K8S_CACHE.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const root = join(import.meta.dirname, '../..');
const scripts = process.env.AEGIS_K8S_SCRIPTS ?? join(root, '../shared/k8s');
/** What is built once and used by every cluster. */
export const cache = process.env.AEGIS_K8S_CACHE ?? join(root, '.cache/k8s');
const state = process.env.AEGIS_K8S_STATE ?? join(root, '.cache/k8s-run');
const env = { ...process.env, AEGIS_K8S_CACHE: cache, AEGIS_K8S_STATE: state };
const run = promisify(execFile);

/** What it printed; rejects with what it said. */
async function script(...args: string[]): Promise<string> {
  const { stdout } = await run('bash', [join(scripts, 'cluster.sh'), ...args], { env, maxBuffer: 64 * 2 ** 20 }).catch(
    (error: { stderr?: string; stdout?: string }) => {
      throw new Error(`cluster.sh ${args.slice(0, 6).join(' ')}: ${error.stderr || error.stdout || error}`);
    },
  );
  return stdout.trim();
}

export const cluster = {
  async up(nodes: number): Promise<void> {
    if (!existsSync(join(scripts, 'cluster.sh')))
      throw new Error(`no cluster scripts in ${scripts}: name their folder in AEGIS_K8S_SCRIPTS`);
    mkdirSync(cache, { recursive: true });
    execFileSync('bash', [join(scripts, 'build.sh')], { env, stdio: 'inherit' });
    await script('up', '--nodes', String(nodes));
  },
  /** For a shell: `kubectl` and `helm` of this cluster, `forward PORT NAMESPACE/SERVICE:PORT`, and `inside COMMAND` in node1's network. */
  functions: (): string => {
    const call = `AEGIS_K8S_CACHE='${cache}' AEGIS_K8S_STATE='${state}' bash '${join(scripts, 'cluster.sh')}'`;
    const names = { kubectl: 'kubectl', helm: 'helm', forward: 'forward', inside: 'exec' };
    return Object.entries(names)
      .map(([name, command]) => `${name}() { ${call} ${command} "$@"; }\n`)
      .join('');
  },
  isUp: (): boolean => existsSync(join(state, 'node1.pid')),
  down: (): Promise<string> => script('down'),
  kubectl: (...args: string[]): Promise<string> => script('kubectl', ...args),
  helm: (...args: string[]): Promise<string> => script('helm', ...args),
  load: (...archives: string[]): Promise<string> => script('load', ...archives),
  image: (name: string, folder: string, archive: string, config: object): Promise<string> =>
    script('image', name, folder, archive, JSON.stringify(config)),
  /** A program of this machine inside the cluster's network, where addresses of pods lead to them. */
  exec: (...command: string[]): Promise<string> => script('exec', ...command),
  /** A port of this machine's loopback that leads to the Service. */
  forward: async (service: string): Promise<number> => Number(await script('forward', '0', service)),
  // biome-ignore lint/suspicious/noExplicitAny: any object of Kubernetes
  get: async (...args: string[]): Promise<any> => JSON.parse(await script('kubectl', 'get', ...args, '-o', 'json')),
};
