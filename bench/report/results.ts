import { readFile, rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Comparison, FigureSpec, Point } from '../figures/contract.ts';

const RESULTS_FILE = fileURLToPath(new URL('../results/latest.json', import.meta.url));

export interface FigureResult {
  id: string;
  /** null: not measured in that run */
  aegis: number | null;
  peer: number | null;
  /** Above 1: Aegis is better. */
  ratio: number | null;
  unit: string;
  note: string;
  date: string;
  machine: string;
  commit: string;
  /** For the plots: by side, by name of the line. */
  points?: { aegis: Record<string, Point[]>; peer: Record<string, Point[]> };
}

export interface Results {
  /** Of the newest figures; each figure names its own. */
  machine: string;
  figures: FigureResult[];
}

/** Three or four digits that mean something. */
const rounded = (value: number): number => Number(value.toPrecision(4));

export function toResult(
  spec: FigureSpec,
  { aegis, peer }: Comparison,
  { date, machine, commit, caveat }: { date: string; machine: string; commit: string; caveat: string | null },
): FigureResult {
  const ratio = aegis && peer ? (spec.sense === 'cost' ? peer.value / aegis.value : aegis.value / peer.value) : null;
  return {
    id: spec.id,
    aegis: aegis && rounded(aegis.value),
    peer: peer && rounded(peer.value),
    ratio: ratio && rounded(ratio),
    unit: spec.unit,
    note: [aegis?.note, peer?.note, caveat].filter((note) => note).join(' | '),
    date,
    machine,
    commit,
    ...((aegis?.points || peer?.points) && { points: { aegis: aegis?.points ?? {}, peer: peer?.points ?? {} } }),
  };
}

export async function readResults(): Promise<Results> {
  try {
    const results = JSON.parse(await readFile(RESULTS_FILE, 'utf8')) as Results;
    // written before figures named their machine
    return {
      ...results,
      figures: results.figures.map((figure) => ({ ...figure, machine: figure.machine ?? results.machine })),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { machine: '', figures: [] };
    throw error;
  }
}

/** Replaces the figures of this run and keeps all others. */
export function merge(old: Results, machine: string, fresh: FigureResult[]): Results {
  const replaced = new Map(fresh.map((figure) => [figure.id, figure]));
  const kept = old.figures.map((figure) => replaced.get(figure.id) ?? figure);
  const known = new Set(kept.map(({ id }) => id));
  return { machine, figures: [...kept, ...fresh.filter(({ id }) => !known.has(id))] };
}

/** Indented, but a point stays on one line. */
export const resultsText = (results: Results): string =>
  `${JSON.stringify(results, null, 2).replace(/\[\s+(-?[\d.e+-]+),\s+(-?[\d.e+-]+)\s+\]/g, '[$1, $2]')}\n`;

export async function writeResults(results: Results): Promise<void> {
  const temporary = `${RESULTS_FILE}.part`;
  await writeFile(temporary, resultsText(results));
  await rename(temporary, RESULTS_FILE);
}
