import type { FigureResult } from '../results.ts';
import { COLOURS, drawing, line, linear, path, text, ticksTo } from './svg.ts';

const WIDTH = 860;
const LEFT = 120;
const RIGHT = WIDTH - 40;
const TOP = 76;
const LANE = 22;
const CHART = 190;

/** Every kill as a tick in its victim's lane, over the updates that were acknowledged meanwhile. */
export function crashPlot({ points, aegis }: FigureResult): string {
  const lanes = Object.entries(points?.aegis ?? {});
  const kills = lanes.flatMap(([, own]) => own).sort(([a], [b]) => a - b);
  const [lastAt, most] = kills.at(-1) ?? [1, 1];
  const seconds = ticksTo(lastAt);
  const counts = ticksTo(most);
  const chartTop = TOP + LANE * lanes.length + 20;
  const bottom = chartTop + CHART;
  const x = linear([0, seconds.at(-1) as number], [LEFT, RIGHT]);
  const y = linear([0, counts.at(-1) as number], [bottom, chartTop]);
  const body = [
    text(20, 28, `${kills.length} kills, ${aegis ?? '?'} updates lost or counted twice`, { size: 16, bold: true }),
    text(20, 48, 'SIGKILL at random moments while stock SuperNodes train; below, updates acknowledged by then', {
      fill: COLOURS.faint,
    }),
    ...lanes.flatMap(([victim, own], index) => {
      const middle = TOP + LANE * (index + 0.5);
      return [
        text(LEFT - 12, middle + 4, victim, { anchor: 'end' }),
        line([LEFT, middle], [RIGHT, middle], COLOURS.rule),
        ...own.map(([at]) => line([x(at), middle - 7], [x(at), middle + 7], COLOURS.bad, 1.5)),
      ];
    }),
    ...counts.flatMap((value) => [
      line([LEFT, y(value)], [RIGHT, y(value)], COLOURS.rule),
      text(LEFT - 12, y(value) + 4, `${value}`, { anchor: 'end', fill: COLOURS.faint }),
    ]),
    path(
      kills.map(([at, acknowledged]): [number, number] => [x(at), y(acknowledged)]),
      COLOURS.aegis,
    ),
    ...seconds.map((value) => text(x(value), bottom + 20, `${value} s`, { anchor: 'middle', fill: COLOURS.faint })),
  ];
  return drawing(WIDTH, bottom + 36, `${kills.length} kills, ${aegis ?? '?'} updates lost or counted twice`, body);
}
