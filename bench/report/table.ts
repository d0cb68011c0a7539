import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { FigureSpec } from '../figures/contract.ts';
import type { FigureResult, Results } from './results.ts';
import { shortfalls, standingOf } from './verdict.ts';

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const BEGIN = '<!-- figures: begin (rendered from results/latest.json by make bench) -->';
const END = '<!-- figures: end -->';

const shown = (value: number | null, suffix = ''): string =>
  value === null ? '–' : `${value.toLocaleString('en-US', { maximumSignificantDigits: 4 })}${suffix}`;

/** Letters for the machines, so that a row can say on which one it was measured. */
const lettersOf = (figures: readonly FigureResult[]): Map<string, string> =>
  new Map(
    [...new Set(figures.map(({ machine }) => machine))].map((machine, i) => [machine, String.fromCharCode(65 + i)]),
  );

function row(spec: FigureSpec, figure: FigureResult, letters: Map<string, string>): string {
  const { aegis, peer, ratio, date, machine, commit } = figure;
  const values = [`\`${spec.id}\``, shown(aegis), shown(peer), shown(ratio, '×'), spec.unit];
  const cells = [...values, spec.must.text, standingOf(spec, figure).text, spec.aim];
  const origin = [date.slice(0, 10), letters.get(machine) ?? '', commit];
  return `| ${[...cells, ...origin].join(' | ')} |`;
}

export function renderTable(results: Results, specs: FigureSpec[]): string {
  const byId = new Map(results.figures.map((figure) => [figure.id, figure]));
  const measured = specs.flatMap((spec) => {
    const figure = byId.get(spec.id);
    return figure ? [{ spec, figure }] : [];
  });
  const short = shortfalls(specs, byId);
  const letters = lettersOf(measured.map(({ figure }) => figure));
  const lines = [
    ...(letters.size === 0 ? ['Nothing measured yet.'] : ['Measured on:', '']),
    ...[...letters].map(([machine, letter]) => `- ${letter}: ${machine}`),
    '',
    '| figure | Aegis | peer | ratio | unit | must | verdict | aim | date | on | commit |',
    '| --- | ---: | ---: | ---: | --- | --- | --- | --- | --- | --- | --- |',
    ...measured.map(({ spec, figure }) => row(spec, figure, letters)),
    '',
    ...(short.length > 0
      ? ['What falls short, and why:', '', ...short.map((line) => `- ${line}`)]
      : ['Nothing falls short.']),
    '',
    'How each came about:',
    '',
    ...measured.map(({ figure }) => `- \`${figure.id}\`: ${figure.note}`),
  ];
  return lines.join('\n');
}

/** Writes the table between the markers of the README. */
export async function renderReadme(results: Results, specs: FigureSpec[], plots: string[]): Promise<void> {
  const text = await readFile(README, 'utf8');
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('bench/README.md has lost its markers');
  const middle = [renderTable(results, specs), ...plots].join('\n\n');
  await writeFile(README, `${text.slice(0, begin + BEGIN.length)}\n${middle}\n${text.slice(end)}`);
}
