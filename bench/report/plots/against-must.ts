import type { FigureSpec } from '../../figures/contract.ts';
import type { FigureResult } from '../results.ts';
import { standingOf } from '../verdict.ts';
import { COLOURS, dot, drawing, line, logarithmic, text } from './svg.ts';

const WIDTH = 860;
const LEFT = 190;
const RIGHT = WIDTH - 70;
const TOP = 84;
const ROW = 30;

interface Row {
  id: string;
  /** How many times better than the must; below 1: it falls short. */
  aegis: number;
  peer: number | null;
}

/** Every figure with a must on one axis: Aegis and Flower, each as a multiple of what must be reached. */
export function againstMust(specs: FigureSpec[], figures: ReadonlyMap<string, FigureResult>): string {
  const rows = specs.flatMap((spec) => rowOf(spec, figures.get(spec.id)));
  const values = rows.flatMap(({ aegis, peer }) => (peer === null ? [aegis] : [aegis, peer]));
  const low = 10 ** Math.floor(Math.log10(Math.min(0.1, ...values)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(10, ...values)));
  const x = logarithmic([low, high], [LEFT, RIGHT]);
  const bottom = TOP + ROW * rows.length;
  const decades = Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, index) => low * 10 ** index);
  const body = [
    text(20, 28, 'What must be reached, and where Aegis and Flower stand', { size: 16, bold: true }),
    text(20, 48, 'times better than the must, logarithmic: right of the line is met', { fill: COLOURS.faint }),
    ...decades.flatMap((value) => [
      line([x(value), TOP - 8], [x(value), bottom], COLOURS.rule),
      text(x(value), bottom + 18, `${Number(value.toPrecision(1))}×`, { anchor: 'middle', fill: COLOURS.faint }),
    ]),
    line([x(1), TOP - 14], [x(1), bottom], COLOURS.ink, 2),
    text(x(1), TOP - 20, 'must', { anchor: 'middle', bold: true }),
    ...rows.flatMap((row, index) => drawRow(row, TOP + ROW * (index + 0.5), x)),
    dot(LEFT, bottom + 42, COLOURS.aegis),
    text(LEFT + 12, bottom + 46, 'Aegis'),
    dot(LEFT + 90, bottom + 42, COLOURS.peer, true),
    text(LEFT + 102, bottom + 46, "Flower's own server, the same work in the same run"),
  ];
  return drawing(WIDTH, bottom + 64, 'Aegis and Flower against what must be reached', body);
}

function rowOf(spec: FigureSpec, figure: FigureResult | undefined): Row[] {
  if (!figure?.aegis) return [];
  const { limit } = standingOf(spec, figure);
  if (!limit) return [];
  const times = (value: number) => (spec.sense === 'cost' ? limit / value : value / limit);
  return [{ id: spec.id, aegis: times(figure.aegis), peer: figure.peer ? times(figure.peer) : null }];
}

function drawRow({ id, aegis, peer }: Row, y: number, x: (value: number) => number): string[] {
  const short = aegis < 1;
  const label = `${aegis.toPrecision(2)}×${short ? ' short' : ''}`;
  const isRight = peer === null || aegis >= peer;
  return [
    text(LEFT - 14, y + 4, id, { anchor: 'end' }),
    ...(peer === null ? [] : [line([x(peer), y], [x(aegis), y], COLOURS.rule, 3), dot(x(peer), y, COLOURS.peer, true)]),
    dot(x(aegis), y, COLOURS.aegis),
    text(x(aegis) + (isRight ? 10 : -10), y + 4, label, {
      anchor: isRight ? 'start' : 'end',
      size: 11,
      fill: short ? COLOURS.bad : COLOURS.faint,
    }),
  ];
}
