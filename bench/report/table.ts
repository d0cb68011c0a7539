import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { FigureSpec } from '../figures/contract.ts';
import type { FigureResult, Results } from './results.ts';

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const BEGIN = '<!-- figures: begin (rendered from results/latest.json by make bench) -->';
const END = '<!-- figures: end -->';

const shown = (value: number | null, suffix = ''): string =>
  value === null ? '–' : `${value.toLocaleString('en-US', { maximumSignificantDigits: 4 })}${suffix}`;

function row(spec: FigureSpec, result: FigureResult | undefined): string {
  const { aegis = null, peer = null, ratio = null, date = '', commit = '' } = result ?? {};
  const cells = [`\`${spec.id}\``, shown(aegis), shown(peer), shown(ratio, '×'), spec.unit, spec.must, spec.aim];
  return `| ${[...cells, date.slice(0, 10), commit].join(' | ')} |`;
}

export function renderTable(results: Results, specs: FigureSpec[]): string {
  const byId = new Map(results.figures.map((figure) => [figure.id, figure]));
  const measured = specs.filter(({ id }) => byId.has(id));
  const lines = [
    `Measured on: ${results.machine || 'nothing measured yet'}`,
    '',
    '| figure | Aegis | peer | ratio | unit | must | aim | date | commit |',
    '| --- | ---: | ---: | ---: | --- | --- | --- | --- | --- |',
    ...measured.map((spec) => row(spec, byId.get(spec.id))),
    '',
    ...measured.map(({ id }) => `- \`${id}\`: ${byId.get(id)?.note ?? ''}`),
  ];
  return lines.join('\n');
}

/** Writes the table between the markers of the README. */
export async function renderReadme(results: Results, specs: FigureSpec[]): Promise<void> {
  const text = await readFile(README, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('bench/README.md has lost its markers');
  const table = `${text.slice(0, begin + BEGIN.length)}\n${renderTable(results, specs)}\n${text.slice(end)}`;
  await writeFile(README, table);
}
