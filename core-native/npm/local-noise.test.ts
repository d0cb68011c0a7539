import { describe, expect, it } from 'vitest';
import { LocalNoise, readNpyHeader } from './index.ts';

/** A one-dimensional .npy file of f64. */
const npy = (values: number[]): Buffer => {
  const head = `{'descr': '<f8', 'fortran_order': False, 'shape': (${values.length},), }`.padEnd(117).concat('\n');
  const prefix = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, head.length, 0]);
  return Buffer.concat([prefix, Buffer.from(head), Buffer.from(Float64Array.from(values).buffer)]);
};
const valuesOf = (file: Buffer): number[] => {
  const { dataOffset } = readNpyHeader(file);
  return [...new Float64Array(Uint8Array.from(file.subarray(dataOffset)).buffer)];
};
const tensor = (came: number[], goes: number[]) => ({ name: 'w', dtype: '<f8', came: npy(came), goes: npy(goes) });

describe('local noise', () => {
  it('clips the change, adds the noise, and says what it clipped', async () => {
    const { tensors, norm, clipped } = await LocalNoise.ofSigma(1, 1e-6).apply([tensor([1, 1], [4, 5])]);
    expect({ norm, clipped }).toEqual({ norm: 5, clipped: true });
    const [first = 0, second = 0] = valuesOf(tensors[0] ?? Buffer.alloc(0));
    expect(first).toBeCloseTo(1.6, 4);
    expect(second).toBeCloseTo(1.8, 4);
    expect([first, second]).not.toEqual([1.6, 1.8]);
  });

  it('is calibrated for a sensitivity of twice the clip', () => {
    // Balle & Wang 2018: 3.730632 for (1, 1e-5) and a sensitivity of 1
    expect(LocalNoise.calibrated(0.5, 1, 1e-5).sigma).toBeCloseTo(3.730632, 4);
  });

  it('names what it refuses', async () => {
    await expect(LocalNoise.ofSigma(1, 1).apply([tensor([0], [Number.NaN])])).rejects.toMatchObject({
      code: 'VALUE_NOT_FINITE',
      detail: { tensor: 'w' },
    });
    await expect(LocalNoise.ofSigma(1, 1).apply([{ ...tensor([0], [0]), dtype: 'f8' }])).rejects.toMatchObject({
      code: 'NPY_UNSUPPORTED_DTYPE',
    });
    expect(() => LocalNoise.ofSigma(1, 0)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }));
    expect(() => LocalNoise.calibrated(1, 1, 1)).toThrow(expect.objectContaining({ code: 'PRIVACY_PARAMETER' }));
  });
});
