// The rules, runbooks and dashboards as they are in their files.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const root = join(import.meta.dirname, '../../..');
const observability = join(root, 'deploy/observability');

export interface Rule {
  readonly file: string;
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const filesIn = (folder: string, ending: string): { name: string; text: string }[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));

export const rules = (): Rule[] =>
  filesIn(join(observability, 'rules'), '.yaml').flatMap(({ name, text }) => {
    const { groups } = parse(text) as { groups: { rules: Omit<Rule, 'file'>[] }[] };
    return groups.flatMap(({ rules: ofGroup }) => ofGroup.map((rule) => ({ ...rule, file: name })));
  });

export const ruleTests = (): { name: string; text: string }[] => filesIn(join(observability, 'rules-tests'), '.yaml');

export interface Runbook {
  /** Of the alert. */
  readonly name: string;
  readonly text: string;
  readonly expressions: readonly string[];
  /** Command lines of the `aegis` command, without its name, up to their first argument in capitals. */
  readonly commands: readonly string[];
}

export const runbooks = (): Runbook[] =>
  filesIn(join(root, 'docs/runbooks'), '.md').map(({ name, text }) => ({
    name: name.slice(0, -'.md'.length),
    text,
    expressions: [...text.matchAll(/```promql\n([^`]*)```/g)].flatMap(([, lines = '']) => lines.trim().split('\n')),
    commands: [...text.matchAll(/npx aegis ((?:[a-z]+ ?)+)/g)].map(([, words = '']) => words.trim()),
  }));

export interface Shown {
  readonly dashboard: string;
  readonly panel: string;
  readonly expr: string;
}

interface DashboardFile {
  readonly title: string;
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
}

export const dashboardFiles = (): { name: string; text: string }[] =>
  filesIn(join(observability, 'dashboards'), '.json');

/** Every expression of every dashboard. */
export const shown = (): Shown[] =>
  dashboardFiles().flatMap(({ text }) => {
    const { title, panels } = JSON.parse(text) as DashboardFile;
    return panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({ dashboard: title, panel: panel.title, expr })),
    );
  });
