import { expect, it } from 'vitest';
import { drawPicture } from './picture.ts';

const data = {
  rounds: [0.5, 0.75],
  together: 0.96,
  alone: [{ name: 'ada <&', accuracy: 0.5 }],
  killed: { name: 'bob', round: 2 },
};

it('draws a point for every round, a bar for every node and one for all together', () => {
  const svg = drawPicture(data);
  expect(svg.match(/<circle/g)).toHaveLength(2);
  expect(svg.match(/<rect [^>]*rx=/g)).toHaveLength(2);
  expect(svg).toContain('bob is killed');
  expect(svg).toContain('>0.96<');
});

it('puts a higher accuracy higher', () => {
  const [first, second] = [...drawPicture(data).matchAll(/<circle [^>]*cy="([\d.]+)"/g)].map((match) =>
    Number(match[1]),
  );
  expect(second).toBeLessThan(first as number);
});

it('lets no name break the picture', () => {
  expect(drawPicture(data)).toContain('ada  alone');
});
