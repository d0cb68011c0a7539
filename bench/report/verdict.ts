import type { FigureSpec } from '../figures/contract.ts';
import type { FigureResult } from './results.ts';

/** How a measured value stands to what must be reached. */
export interface Standing {
  /** The worst value that is good enough; null: nothing is demanded. */
  limit: number | null;
  met: boolean;
  /** For the table: "met", "missed by 12 %", or "–". */
  text: string;
}

export function standingOf(spec: FigureSpec, { aegis, peer }: FigureResult): Standing {
  const limit = spec.must.limit(peer);
  if (limit === null || aegis === null) return { limit, met: true, text: '–' };
  const met = spec.sense === 'cost' ? aegis <= limit : aegis >= limit;
  return { limit, met, text: met ? 'met' : `**missed by ${gap(aegis, limit)}**` };
}

const gap = (value: number, limit: number): string =>
  limit === 0 ? `${value}` : `${Math.ceil((100 * Math.abs(value - limit)) / limit)} %`;

/** What falls short and why, one line each. Empty: everything that was measured is met. */
export function shortfalls(specs: FigureSpec[], figures: ReadonlyMap<string, FigureResult>): string[] {
  const lines: string[] = [];
  for (const spec of specs) {
    const figure = figures.get(spec.id);
    if (!figure) {
      lines.push(`\`${spec.id}\` was not measured yet.`);
      continue;
    }
    const { met, text } = standingOf(spec, figure);
    if (met) continue;
    const missed = text.replaceAll('*', '');
    lines.push(`\`${spec.id}\` ${missed}: ${figure.aegis} ${spec.unit}, must ${spec.must.text}. ${spec.shortfall}`);
  }
  return lines;
}
