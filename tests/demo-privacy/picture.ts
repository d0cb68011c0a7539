// ε next to accuracy, by round: what docs/demo-privacy.svg shows.

export interface Point {
  readonly round: number;
  readonly epsilon: number;
  readonly accuracy: number;
  /** Every process of the suite was killed in this round. */
  readonly killed: boolean;
}

const width = 640;
const height = 300;
const left = 56;
const right = 584;
const top = 40;
const bottom = 250;
const blue = '#2f6fde';
const red = '#c8402f';
const ink = '#1d2733';
const faint = '#e3e7ec';

export function drawPrivacy(points: readonly Point[], budget: number): string {
  const last = points.at(-1)?.round ?? 1;
  const x = (round: number): number => left + ((round - 1) / Math.max(last - 1, 1)) * (right - left);
  const accuracy = (value: number): number => bottom - value * (bottom - top);
  const spent = (value: number): number => bottom - (value / (budget * 1.1)) * (bottom - top);
  const path = (y: (point: Point) => number): string =>
    points.map((point, index) => `${index === 0 ? 'M' : 'L'}${short(x(point.round))} ${short(y(point))}`).join(' ');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    '<title>Accuracy and privacy spent, by round</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...[0, 0.25, 0.5, 0.75, 1].map((mark) => rule(accuracy(mark), mark.toFixed(2))),
    `<line x1="${left}" x2="${right}" y1="${short(spent(budget))}" y2="${short(spent(budget))}" stroke="${red}" stroke-dasharray="4 4"/>`,
    text(right, spent(budget) - 6, `budget ε ${budget}`, { anchor: 'end', colour: red }),
    ...points
      .filter(({ killed }) => killed)
      .flatMap(({ round }) => [
        `<line x1="${short(x(round))}" x2="${short(x(round))}" y1="${top}" y2="${bottom}" stroke="${ink}" stroke-dasharray="2 4"/>`,
        text(x(round) + 4, bottom - 8, 'kill -9', {}),
      ]),
    `<path d="${path(({ accuracy: value }) => accuracy(value))}" fill="none" stroke="${blue}" stroke-width="2.5"/>`,
    `<path d="${path(({ epsilon }) => spent(epsilon))}" fill="none" stroke="${red}" stroke-width="2.5"/>`,
    ...points.map(({ round }) => text(x(round), bottom + 18, String(round), { anchor: 'middle' })),
    text(left, top - 14, 'held-out accuracy', { colour: blue }),
    text(right, top - 14, 'privacy spent (ε)', { anchor: 'end', colour: red }),
    ...points
      .slice(-1)
      .flatMap((point) => [
        text(right + 6, accuracy(point.accuracy) + 4, point.accuracy.toFixed(2), { colour: blue }),
        text(right + 6, spent(point.epsilon) + 4, point.epsilon.toFixed(2), { colour: red }),
      ]),
    '</svg>\n',
  ].join('\n');
}

const short = (value: number): string => value.toFixed(1);

const rule = (y: number, label: string): string =>
  `<line x1="${left}" x2="${right}" y1="${short(y)}" y2="${short(y)}" stroke="${faint}"/>${text(left - 8, y + 4, label, { anchor: 'end' })}`;

function text(x: number, y: number, content: string, { anchor = 'start', colour = ink }): string {
  return `<text x="${short(x)}" y="${short(y)}" text-anchor="${anchor}" fill="${colour}">${content}</text>`;
}
