import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TEMPLATE = fileURLToPath(new URL('./app', import.meta.url));

export interface BenchAppSettings {
  nodes: number;
  parameters: number;
  rounds: number;
}

export interface BenchApp {
  directory: string;
  settings: BenchAppSettings;
}

/** A copy of the bench app with these settings as its own defaults, so that no server needs overrides. */
export const writeBenchApp = (folder: string, settings: BenchAppSettings): Promise<BenchApp> =>
  writeApp(TEMPLATE, join(folder, 'bench-app'), settings);

/** The same with the app of another folder, which has the same three keys. */
export async function writeApp(template: string, directory: string, settings: BenchAppSettings): Promise<BenchApp> {
  await mkdir(directory, { recursive: true });
  await cp(template, directory, { recursive: true, filter: (path) => !path.includes('__pycache__') });
  const file = join(directory, 'pyproject.toml');
  const text = (await readFile(file, 'utf8'))
    .replace(/^num-server-rounds = .*$/m, `num-server-rounds = ${settings.rounds}`)
    .replace(/^parameters = .*$/m, `parameters = ${settings.parameters}`)
    .replace(/^min-nodes = .*$/m, `min-nodes = ${settings.nodes}`);
  await writeFile(file, text);
  return { directory, settings };
}
