// The bridge of Flower's own SecAgg+: numbers, buffers and refusals cross as the typed face promises. Whole rounds of real nodes are in
// tests/suite/flower-secagg.test.ts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FlowerSetup, FlowerSum } from './flower-secagg.ts';

const SETUP: FlowerSetup = { clippingRange: 8, targetRange: 2 ** 22, modRange: 2 ** 32, maxWeight: 200 };
const vectors = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../tests/vectors/flower', name), 'utf8'));
const keys = vectors('secaggplus_share_keys.json');
const seed: { shares: Buffer[]; threshold: number } = (() => {
  const found = vectors('shamir.json').cases.find((one: { secret_hex: string }) => one.secret_hex.length === 64);
  const shares = found.shares_hex.map((hex: string) => Buffer.from(hex, 'hex'));
  return { shares, threshold: Math.min(...found.combinations_that_work.map((one: number[]) => one.length)) };
})();

function npy(shape: string, ...values: bigint[]): Buffer {
  const text = `{'descr': '<i8', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117);
  const head = Buffer.from(`\x93NUMPY\x01\x00\x76\x00${text}\n`, 'latin1');
  return Buffer.concat([head, new Uint8Array(new BigInt64Array(values).buffer)]);
}

const vector = (weight: bigint, ...values: bigint[]): Buffer[] => [npy('(1,)', weight), npy('(2,)', ...values)];
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('a sum of Flower', () => {
  it('adds, opens once and gives its memory back', async () => {
    const sum = FlowerSum.create(SETUP, [[2]]);
    await sum.add(vector(2n ** 21n, 2n ** 21n, 2n ** 22n));
    await sum.add(vector(2n ** 21n, 2n ** 21n, 2n ** 22n));
    expect(sum.count).toBe(2);
    const means = await sum.open();
    expect(means.weight).toBe(2 ** 22);
    const file = await means.array(0);
    expect(file.subarray(0, 6).toString('latin1')).toBe('\x93NUMPY');
    expect([file.readDoubleLE(file.length - 16), file.readDoubleLE(file.length - 8)]).toEqual([0, 16]);
    const floats = await means.array(0, '<f4');
    expect([floats.readFloatLE(floats.length - 8), floats.readFloatLE(floats.length - 4)]).toEqual([0, 16]);
    await expect(means.array(0, 'float32')).rejects.toThrow(code('NPY_UNSUPPORTED_DTYPE'));
    await expect(means.array(1)).rejects.toThrow(code('ARGUMENT'));
    await expect(means.array(-1)).rejects.toThrow(code('ARGUMENT'));
    means.close();
    await expect(means.array(0)).rejects.toThrow(code('ARGUMENT'));
    await expect(sum.open()).rejects.toThrow(code('ARGUMENT'));
    await expect(sum.add(vector(1n, 1n, 1n))).rejects.toThrow(code('ARGUMENT'));
    sum.close();
    expect(() => sum.count).toThrow(code('ARGUMENT'));
  });

  it('says what is wrong, and takes nothing of it', async () => {
    for (const wrong of [
      { modRange: 2 ** 32 + 1 },
      { targetRange: 0 },
      { clippingRange: Number.NaN },
      { maxWeight: 0 },
    ])
      expect(() => FlowerSum.create({ ...SETUP, ...wrong }, [[2]])).toThrow(code('SECAGG_PARAMETERS'));
    expect(() => FlowerSum.create({ ...SETUP, modRange: 0.5 }, [[2]])).toThrow(code('ARGUMENT'));
    expect(() => FlowerSum.create(SETUP, [[-1]])).toThrow(code('ARGUMENT'));
    const sum = FlowerSum.create(SETUP, [[2]]);
    await expect(sum.add([])).rejects.toThrow(code('SECAGG_MALFORMED'));
    await expect(sum.add(vector(1n, 2n ** 32n, 0n))).rejects.toThrow(code('SECAGG_MALFORMED'));
    await expect(sum.add(vector(1n, 1n))).rejects.toThrow(code('NPY_SIZE_MISMATCH'));
    await expect(sum.removePrivate([])).rejects.toThrow(code('SECAGG_SHARES'));
    const peer = { node: '1', publicKey: Buffer.from(keys.public_key_a_pem) };
    await expect(sum.removePairs(peer, seed.shares.slice(0, seed.threshold), [])).rejects.toThrow(
      code('SECAGG_SHARES'),
    );
    await expect(sum.removePairs({ ...peer, node: 'x' }, seed.shares, [])).rejects.toThrow(code('ARGUMENT'));
    expect(sum.count).toBe(0);
    await expect(sum.open()).rejects.toThrow(code('SECAGG_SUM'));
  });

  it('is refused with masks left in it', async () => {
    const sum = FlowerSum.create(SETUP, [[2]]);
    for (let node = 0; node < 2; node += 1) await sum.add(vector(1n, 1n, 1n));
    // nobody added this mask
    await sum.removePrivate(seed.shares.slice(0, seed.threshold));
    await expect(sum.open()).rejects.toThrow(code('SECAGG_SUM'));
  });
});
