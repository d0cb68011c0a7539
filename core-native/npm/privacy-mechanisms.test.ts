import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { CoreError, type DataKey, IntakeLog, KeyFile, ModelFile, PrivateFold, type TensorSource } from './index.ts';

let directory: string;
let key: DataKey;
let log: IntakeLog;
let start: ModelFile;
const path = (name: string) => join(directory, name);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'aegis-private-'));
  key = KeyFile.open(path('key'), { create: true }).generate('test').key;
  log = await IntakeLog.open(path('log'), key);
  await ModelFile.fromTensors([{ name: 'w', npy: npy(new Float32Array(100)) }], path('start'), key);
  start = await ModelFile.open(path('start'), key);
});
afterEach(async () => {
  start.close();
  await log.close();
  rmSync(directory, { recursive: true });
});

/** An npy file as numpy writes it (version 1.0), for a one-dimensional f4 array. */
function npy(values: Float32Array): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${values.length},), }`;
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11).concat('\n');
  const prefix = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length & 255, header.length >> 8]);
  return Buffer.concat([prefix, Buffer.from(header), Buffer.from(values.buffer, values.byteOffset, values.byteLength)]);
}

async function update(part: string, value: number): Promise<TensorSource[]> {
  const bytes = npy(new Float32Array(100).fill(value));
  await log.append('update', part, [bytes]);
  return [{ name: 'w', slices: [{ part, offset: 0, length: bytes.length }] }];
}

async function values(name: string): Promise<Float32Array> {
  const file = await ModelFile.open(path(name), key);
  const { offset, length } = file.info.tensors[0] ?? { offset: 0, length: 0 };
  const bytes = await file.read(offset, length);
  file.close();
  return new Float32Array(Uint8Array.from(bytes.subarray(length - 400)).buffer);
}

const code = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => null,
    (error) => error,
  );
  expect(error).toBeInstanceOf(CoreError);
  return (error as CoreError).code;
};

describe('the private fold', () => {
  it('takes the noise of a round of a tree, the same every time, for one path only', async () => {
    const fold = await PrivateFold.open(start, { clip: 1 });
    const round = (leaf: number, name: string, secret = 'secret') =>
      fold.finish(
        { noiseMultiplier: 1, denominator: 1, path: path(name), tree: { secret: path(secret), tree: 0, leaf } },
        key,
      );
    const { model } = await round(1, 'noised');
    rmSync(path('noised'));
    expect((await round(1, 'noised')).model).toEqual(model);
    expect(await code(round(1, 'another'))).toBe('NOISE_USED');
    expect(await code(round(2, 'second', 'gone'))).toBe('NOISE_SECRET_LOST');
    expect(await code(round(0.5, 'half'))).toBe('ARGUMENT');
    // the noise of round 1 is taken out again: what is left in both together is that of one node
    await round(2, 'second');
    const [first, second] = [await values('noised'), await values('second')];
    const size = (of: Float32Array) => Math.sqrt(of.reduce((sum, value) => sum + value * value, 0) / of.length);
    expect(size(first.map((value, at) => value + (second[at] ?? 0)))).toBeLessThan(1.5);
    expect(size(second)).toBeLessThan(2.2);
    fold.close();
  });

  it('clips, adds, noises once and keeps what it wrote', async () => {
    const fold = await PrivateFold.open(start, { clip: 1 });
    expect(await fold.add(log, await update('1', 0.05), 3)).toEqual({
      norm: expect.closeTo(0.5, 6),
      clipped: false,
      weight: 1,
    });
    expect((await fold.add(log, await update('2', 5), 1)).clipped).toBe(true);
    expect(fold.count).toBe(2);

    const how = {
      noiseMultiplier: 1e-9,
      denominator: 3,
      bits: { sum: 7, noiseMultiplier: 0.01 },
      path: path('noised'),
    };
    const noised = await fold.finish(how, key);
    expect(noised).toMatchObject({ bits: 7, found: false });
    for (const value of await values('noised')) expect(value).toBeCloseTo((0.05 + 0.1) / 3, 6);

    const again = await fold.finish({ ...how, noiseMultiplier: 100, denominator: 1 }, key);
    expect(again).toEqual({ ...noised, found: true });
    expect(await PrivateFold.found(path('noised'), key)).toEqual(again);
    expect(await PrivateFold.found(path('other'), key)).toBeNull();
    fold.close();
    expect(await code(fold.finish(how, key))).toBe('ARGUMENT');
  });

  it('refuses what is not finite and numbers that make no sense', async () => {
    const fold = await PrivateFold.open(start, { clip: 1, weightMax: 10 });
    expect(await code(fold.add(log, await update('nan', Number.NaN), 1))).toBe('VALUE_NOT_FINITE');
    expect(await code(fold.add(log, await update('good', 1), 0))).toBe('WEIGHT_INVALID');
    expect(fold.count).toBe(0);
    for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await code(PrivateFold.open(start, { clip: bad }))).toBe('ARGUMENT');
      const how = { noiseMultiplier: bad, denominator: 1, path: path('noised') };
      expect(await code(fold.finish(how, key))).toBe('ARGUMENT');
    }
    expect(existsSync(path('noised'))).toBe(false);
    fold.close();
  });
});
