import type { Point } from '../../figures/contract.ts';
import type { FigureResult } from '../results.ts';
import { COLOURS, dot, drawing, line, linear, path, text, ticksTo } from './svg.ts';

const WIDTH = 860;
const HEIGHT = 340;
const LEFT = 80;
const RIGHT = WIDTH - 120;
const TOP = 70;
const BOTTOM = HEIGHT - 60;
const MUST_MB = 500;

/** Peak memory of the whole server against the number of clients. */
export function memoryPlot({ points }: FigureResult): string {
  const lines = [
    { name: 'Aegis', colour: COLOURS.aegis, open: false, points: points?.aegis.memory ?? [] },
    { name: 'Flower', colour: COLOURS.peer, open: true, points: points?.peer.memory ?? [] },
  ];
  const all = lines.flatMap((one) => one.points);
  const ticks = ticksTo(Math.max(MUST_MB, ...all.map(([, y]) => y)));
  const x = linear([0, Math.max(...all.map(([nodes]) => nodes))], [LEFT, RIGHT]);
  const y = linear([0, ticks.at(-1) as number], [BOTTOM, TOP]);
  const counts = [...new Set(all.map(([nodes]) => nodes))];
  const body = [
    text(20, 28, 'Memory and the number of clients', { size: 16, bold: true }),
    text(20, 48, 'highest resident memory of all server processes together, MB; clients of 40 MB each', {
      fill: COLOURS.faint,
    }),
    ...ticks.flatMap((value) => [
      line([LEFT, y(value)], [RIGHT, y(value)], COLOURS.rule),
      text(LEFT - 10, y(value) + 4, value.toLocaleString('en-US'), { anchor: 'end', fill: COLOURS.faint }),
    ]),
    ...counts.map((nodes) => text(x(nodes), BOTTOM + 20, `${nodes}`, { anchor: 'middle', fill: COLOURS.faint })),
    text((LEFT + RIGHT) / 2, BOTTOM + 42, 'clients', { anchor: 'middle', fill: COLOURS.faint }),
    line([LEFT, y(MUST_MB)], [RIGHT, y(MUST_MB)], COLOURS.ink, 2, '6 4'),
    text(RIGHT + 10, y(MUST_MB) + 4, `must ≤ ${MUST_MB}`, { bold: true }),
    ...lines.flatMap(({ name, colour, open, points: own }) => drawLine(name, colour, open, own, x, y)),
  ];
  return drawing(WIDTH, HEIGHT, 'Memory and the number of clients', body);
}

function drawLine(
  name: string,
  colour: string,
  isOpen: boolean,
  points: Point[],
  x: (value: number) => number,
  y: (value: number) => number,
): string[] {
  const places = points.map(([nodes, megabytes]): [number, number] => [x(nodes), y(megabytes)]);
  const [lastX, lastY] = places.at(-1) ?? [0, 0];
  return [
    path(places, colour),
    ...places.map(([px, py]) => dot(px, py, colour, isOpen)),
    text(lastX + 10, lastY - 8, name, { fill: colour, bold: true }),
  ];
}
