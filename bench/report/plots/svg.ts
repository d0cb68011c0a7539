// As much of SVG as the plots need. Colours read on white and in print; every mark has a shape or a word besides its colour.

export const COLOURS = {
  aegis: '#0b5fff',
  peer: '#c2410c',
  ink: '#1f2937',
  faint: '#6b7280',
  rule: '#e5e7eb',
  bad: '#b91c1c',
};

export interface TextStyle {
  anchor?: 'start' | 'middle' | 'end';
  size?: number;
  fill?: string;
  bold?: boolean;
}

const escaped = (text: string): string => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const n = (value: number): string => `${Math.round(value * 10) / 10}`;

export const text = (x: number, y: number, words: string, style: TextStyle = {}): string => {
  const { anchor = 'start', size = 12, fill = COLOURS.ink, bold = false } = style;
  const weight = bold ? ' font-weight="600"' : '';
  return `<text x="${n(x)}" y="${n(y)}" text-anchor="${anchor}" font-size="${size}" fill="${fill}" stroke="#ffffff" stroke-width="3" paint-order="stroke"${weight}>${escaped(words)}</text>`;
};

export const line = (from: [number, number], to: [number, number], stroke: string, width = 1, dash = ''): string =>
  `<line x1="${n(from[0])}" y1="${n(from[1])}" x2="${n(to[0])}" y2="${n(to[1])}" stroke="${stroke}" stroke-width="${width}"${dash && ` stroke-dasharray="${dash}"`}/>`;

export const path = (points: [number, number][], stroke: string, width = 2): string =>
  `<polyline points="${points.map(([x, y]) => `${n(x)},${n(y)}`).join(' ')}" fill="none" stroke="${stroke}" stroke-width="${width}" stroke-linejoin="round"/>`;

/** A filled dot for Aegis, an open one for its peer. */
export const dot = (x: number, y: number, colour: string, isOpen = false, radius = 5): string =>
  `<circle cx="${n(x)}" cy="${n(y)}" r="${radius}" fill="${isOpen ? '#ffffff' : colour}" stroke="${colour}" stroke-width="2"/>`;

export const drawing = (width: number, height: number, title: string, body: string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...body,
    '</svg>',
    '',
  ].join('\n');

/** From values to places, straight. */
export const linear =
  (domain: [number, number], range: [number, number]) =>
  (value: number): number =>
    range[0] + ((value - domain[0]) / (domain[1] - domain[0] || 1)) * (range[1] - range[0]);

/** From positive values to places, by their logarithm. */
export const logarithmic = (domain: [number, number], range: [number, number]) => {
  const straight = linear([Math.log10(domain[0]), Math.log10(domain[1])], range);
  return (value: number): number => straight(Math.log10(value));
};

/** Round numbers from 0 up to and over the largest value, about five of them. */
export function ticksTo(largest: number): number[] {
  const rough = largest / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) as number);
  return Array.from({ length: Math.ceil(largest / step) + 1 }, (_, index) => index * step);
}
