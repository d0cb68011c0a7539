// The app examples/digits-private in TypeScript, for the nodes that this process plays: the same images, model and training.
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

const FEATURES = 64;
const CLASSES = 10;
/** Every fifth image is nobody's. */
const HELD_OUT = 5;

export interface Images {
  readonly x: readonly Float64Array[];
  readonly y: readonly number[];
}

/** Row-major 64 × 10, and 10. */
export interface Model {
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

/** `file`: digits.csv.gz of scikit-learn. */
export async function readDigits(file: string): Promise<Images> {
  const rows = gunzipSync(await readFile(file))
    .toString('latin1')
    .trim()
    .split('\n');
  const table = rows.map((row) => row.split(',').map(Number));
  return {
    x: table.map((row) => Float64Array.from(row.slice(0, FEATURES), (value) => value / 16)),
    y: table.map((row) => row[FEATURES] ?? 0),
  };
}

const pick = ({ x, y }: Images, isIn: (index: number) => boolean): Images => ({
  x: x.filter((_, index) => isIn(index)),
  y: y.filter((_, index) => isIn(index)),
});

export const heldOut = (all: Images): Images => pick(all, (index) => index % HELD_OUT === HELD_OUT - 1);

/** Of the images that are not held out, dealt out in turn, those of one node. */
export function nodeData(all: Images, node: number, count: number): Images {
  const dealt = pick(all, (index) => index % HELD_OUT !== HELD_OUT - 1);
  return pick(dealt, (index) => index % count === node);
}

export function train(model: Model, { x, y }: Images, epochs: number, learningRate: number): Model {
  const weight = model.weight.slice();
  const bias = model.bias.slice();
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    const slopes = x.map((image, index) => {
      const slope = probabilities({ weight, bias }, image);
      slope[y[index] ?? 0] = (slope[y[index] ?? 0] ?? 0) - 1;
      return slope;
    });
    for (let label = 0; label < CLASSES; label += 1) {
      const step = learningRate / x.length;
      for (const [index, slope] of slopes.entries()) {
        const by = step * (slope[label] ?? 0);
        bias[label] = (bias[label] ?? 0) - by;
        const image = x[index] as Float64Array;
        for (let pixel = 0; pixel < FEATURES; pixel += 1) {
          const at = pixel * CLASSES + label;
          weight[at] = (weight[at] ?? 0) - by * (image[pixel] ?? 0);
        }
      }
    }
  }
  return { weight, bias };
}

export function accuracy(model: Model, { x, y }: Images): number {
  const right = x.filter((image, index) => {
    const guess = probabilities(model, image);
    return guess.indexOf(Math.max(...guess)) === y[index];
  });
  return right.length / x.length;
}

function probabilities({ weight, bias }: Model, image: Float64Array): Float64Array {
  const scores = bias.slice();
  for (let pixel = 0; pixel < FEATURES; pixel += 1) {
    const value = image[pixel] ?? 0;
    if (value === 0) continue;
    for (let label = 0; label < CLASSES; label += 1)
      scores[label] = (scores[label] ?? 0) + value * (weight[pixel * CLASSES + label] ?? 0);
  }
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
