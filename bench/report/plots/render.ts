import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FigureSpec } from '../../figures/contract.ts';
import type { Results } from '../results.ts';
import { againstMust } from './against-must.ts';
import { crashPlot } from './crash.ts';
import { memoryPlot } from './memory.ts';

const FOLDER = fileURLToPath(new URL('../../results/plots', import.meta.url));

/** Draws what was measured; gives the README's lines that show it. */
export async function renderPlots(results: Results, specs: FigureSpec[]): Promise<string[]> {
  const figures = new Map(results.figures.map((figure) => [figure.id, figure]));
  const memory = figures.get('rss-200x40');
  const crash = figures.get('crash-lost-updates');
  const plots = [
    { name: 'against-must', says: 'Aegis and Flower against what must be reached', svg: againstMust(specs, figures) },
    ...(memory?.points ? [{ name: 'memory', says: 'Memory and the number of clients', svg: memoryPlot(memory) }] : []),
    ...(crash?.points ? [{ name: 'crash', says: 'Kills and acknowledged updates', svg: crashPlot(crash) }] : []),
  ];
  await mkdir(FOLDER, { recursive: true });
  for (const { name, svg } of plots) await writeFile(join(FOLDER, `${name}.svg`), svg);
  return plots.map(({ name, says }) => `![${says}](results/plots/${name}.svg)`);
}
