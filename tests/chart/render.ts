// `helm template` of the chart, as objects.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const root = join(import.meta.dirname, '../..');
export const chart = join(root, 'deploy/k8s/helm/aegis');
const helm = join(root, '.cache/bin/helm');
const run = promisify(execFile);

/** Files of deploy/k8s/values, and no file at all. */
export const valueSets = ['default', 'minimal', 'single-node', 'production', 'bring-your-own'] as const;
export type ValueSet = (typeof valueSets)[number];

// biome-ignore lint/suspicious/noExplicitAny: any object of Kubernetes
export type Any = any;

export interface RenderOptions {
  readonly values?: ValueSet;
  /** Over them, as JSON. */
  readonly set?: Readonly<Record<string, unknown>>;
  readonly release?: string;
  readonly namespace?: string;
}

const rendered = new Map<string, Promise<string>>();

/** Rejects with what helm says. The same options are rendered once. */
function renderText(options: RenderOptions = {}): Promise<string> {
  const key = JSON.stringify(options);
  const text = rendered.get(key) ?? template(options);
  rendered.set(key, text);
  return text;
}

async function template(options: RenderOptions): Promise<string> {
  const { values = 'default', set = {}, release = 'aegis', namespace = 'learning' } = options;
  const args = ['template', release, chart, '--namespace', namespace];
  if (values !== 'default') args.push('--values', join(root, `deploy/k8s/values/${values}.yaml`));
  for (const [path, value] of Object.entries(set)) args.push('--set-json', `${path}=${JSON.stringify(value)}`);
  const { stdout } = await run(helm, args, { maxBuffer: 32 * 2 ** 20 });
  return stdout;
}

export class Rendered {
  readonly objects: readonly Any[];
  constructor(objects: readonly Any[]) {
    this.objects = objects;
  }
  ofKind(kind: string): Any[] {
    return this.objects.filter((one) => one.kind === kind);
  }
  get(kind: string, name: string): Any {
    const found = this.objects.find((one) => one.kind === kind && one.metadata.name === name);
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`);
    return found;
  }
  /** Deployments and StatefulSets. */
  workloads(): Any[] {
    return [...this.ofKind('Deployment'), ...this.ofKind('StatefulSet')];
  }
  /** Pod specs of everything that runs, with a name for messages. */
  pods(): { name: string; component: string; labels: Record<string, string>; spec: Any }[] {
    const templates = this.workloads().map((one) => ({ name: one.metadata.name, ...one.spec.template }));
    const plain = this.ofKind('Pod').map((one) => ({ ...one, name: one.metadata.name }));
    return [...templates, ...plain].map(({ name, metadata, spec }) => ({
      ...{ name, spec, labels: metadata.labels },
      component: metadata.labels['app.kubernetes.io/component'],
    }));
  }
}

export async function render(options: RenderOptions = {}): Promise<Rendered> {
  const documents = parseAllDocuments(await renderText(options)) as { toJS(): Any }[];
  return new Rendered(documents.map((one) => one.toJS()).filter((one) => one !== null));
}

/** What helm says instead of rendering. */
export const refusal = (options: RenderOptions): Promise<string> =>
  renderText(options).then(
    () => 'rendered',
    (error: { stderr?: string }) => error.stderr ?? String(error),
  );
