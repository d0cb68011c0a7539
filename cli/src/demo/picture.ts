/** What the demo's picture shows. Accuracies are between 0 and 1. */
export interface PictureData {
  /** By round, from 1: weighted accuracy on the nodes' own hold-outs. */
  readonly rounds: readonly number[];
  /** The final model on images no node has seen. */
  readonly together: number;
  readonly alone: readonly { readonly name: string; readonly accuracy: number }[];
  readonly killed: { readonly name: string; readonly round: number } | undefined;
}

const width = 760;
const height = 340;
const top = 56;
const bottom = 290;
const chart = { left: 56, right: 430 };
const bars = { left: 540, right: 730 };
const ink = '#24292f';
const faint = '#d0d7de';
const blue = '#0969da';
const grey = '#8c959f';
const red = '#cf222e';

const y = (accuracy: number): number => bottom - accuracy * (bottom - top);

/** Accuracy by round beside what every node reaches alone, as one SVG. */
export function drawPicture({ rounds, together, alone, killed }: PictureData): string {
  const step = (chart.right - chart.left) / Math.max(rounds.length, 1);
  const x = (round: number): number => chart.left + (round - 0.5) * step;
  const points = rounds.map((accuracy, index) => [x(index + 1), y(accuracy)] as const);
  const parts = [
    line(chart.left, chart.right, 0.9),
    ...[0, 0.25, 0.5, 0.75, 1].map((mark) => tick(mark)),
    text(chart.left, 32, 'Accuracy by round', { size: 15, weight: 600 }),
    text(bars.left - 56, 32, 'On held-out images', { size: 15, weight: 600 }),
    `<polyline fill="none" stroke="${blue}" stroke-width="2.5" points="${points.map((point) => point.map(short).join(',')).join(' ')}"/>`,
    ...points.map(([cx, cy]) => `<circle cx="${short(cx)}" cy="${short(cy)}" r="4" fill="${blue}"/>`),
    ...rounds.map((_, index) => text(x(index + 1), bottom + 20, `${index + 1}`, { anchor: 'middle' })),
    ...(killed ? killMark(x(killed.round), killed.name) : []),
    ...barChart([
      ...alone.map(({ name, accuracy }) => ({ name: `${name} alone`, accuracy, colour: grey })),
      { name: 'together', accuracy: together, colour: blue },
    ]),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    '<title>Accuracy by round, and of each node alone</title>',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

const short = (value: number): string => value.toFixed(1);

function text(
  x: number,
  at: number,
  content: string,
  { anchor = 'start', size = 12, weight = 400, colour = ink } = {},
): string {
  return `<text x="${short(x)}" y="${short(at)}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${colour}">${content.replace(/[<&]/g, '')}</text>`;
}

const line = (from: number, to: number, accuracy: number): string =>
  `<line x1="${from}" x2="${to}" y1="${short(y(accuracy))}" y2="${short(y(accuracy))}" stroke="${grey}" stroke-dasharray="4 4"/>`;

const tick = (mark: number): string =>
  [
    `<line x1="${chart.left}" x2="${chart.right}" y1="${short(y(mark))}" y2="${short(y(mark))}" stroke="${faint}"/>`,
    text(chart.left - 8, y(mark) + 4, mark.toFixed(2), { anchor: 'end' }),
  ].join('');

const killMark = (x: number, name: string): string[] => [
  `<line x1="${short(x)}" x2="${short(x)}" y1="${top}" y2="${bottom}" stroke="${red}" stroke-dasharray="3 3"/>`,
  text(x + 6, bottom - 10, `${name} is killed`, { colour: red }),
];

function barChart(rows: readonly { name: string; accuracy: number; colour: string }[]): string[] {
  const pitch = (bottom - top) / rows.length;
  return rows.flatMap(({ name, accuracy, colour }, index) => {
    const at = top + index * pitch;
    const length = accuracy * (bars.right - bars.left - 40);
    const middle = at + pitch / 2 + 4;
    return [
      text(bars.left - 8, middle, name, { anchor: 'end' }),
      `<rect x="${bars.left}" y="${short(at + 5)}" width="${short(length)}" height="${short(pitch - 10)}" rx="3" fill="${colour}"/>`,
      text(bars.left + length + 6, middle, accuracy.toFixed(2), { weight: 600 }),
    ];
  });
}
