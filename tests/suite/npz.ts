import { readNpy } from '../../services/aggregator/src/store/memory/npy.ts';

/** Entries of a zip whose members are stored, as the core writes them. */
export const readNpz = (npz: Buffer): Record<string, number[]> => {
  const arrays: Record<string, number[]> = {};
  for (let at = 0; npz.readUInt32LE(at) === 0x04034b50; ) {
    const [size, nameLength, extra] = [npz.readUInt32LE(at + 18), npz.readUInt16LE(at + 26), npz.readUInt16LE(at + 28)];
    const name = npz.toString('latin1', at + 30, at + 30 + nameLength).replace(/\.npy$/, '');
    const from = at + 30 + nameLength + extra;
    arrays[name] = [...readNpy(npz.subarray(from, from + size)).values];
    at = from + size;
  }
  return arrays;
};
