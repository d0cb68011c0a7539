// Just enough of numpy's file formats for the in-memory store: C order, no half precision.
import { crc32 } from 'node:zlib';
import { AegisError } from '@aegis/errors';
import yauzl from 'yauzl';

export interface NpyArray {
  readonly descr: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

type Accessor = {
  readonly size: number;
  get(view: DataView, at: number): number;
  set(view: DataView, at: number, value: number): void;
};

const float = (size: 4 | 8): Accessor => ({
  size,
  get: (view, at) => (size === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true)),
  set: (view, at, value) => (size === 4 ? view.setFloat32(at, value, true) : view.setFloat64(at, value, true)),
});

const whole = (size: 1 | 2 | 4 | 8, signed: boolean, bool = false): Accessor => {
  const bits = size * 8;
  const least = bool || !signed ? 0 : -(2 ** (bits - 1));
  const most = bool ? 1 : signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return {
    size,
    get: (view, at) => {
      const low =
        size === 1
          ? view.getUint8(at)
          : size === 2
            ? view.getUint16(at, true)
            : size === 4
              ? view.getUint32(at, true)
              : 0;
      if (size === 8) return Number(signed ? view.getBigInt64(at, true) : view.getBigUint64(at, true));
      return signed && low >= 2 ** (bits - 1) ? low - 2 ** bits : low;
    },
    set: (view, at, value) => {
      const rounded = Math.min(most, Math.max(least, roundHalfToEven(value)));
      let left = BigInt.asUintN(bits, BigInt(rounded));
      for (let i = 0; i < size; i += 1, left >>= 8n) view.setUint8(at + i, Number(left & 255n));
    },
  };
};

const accessors: Record<string, Accessor> = {
  '<f4': float(4),
  '<f8': float(8),
  '|i1': whole(1, true),
  '<i2': whole(2, true),
  '<i4': whole(4, true),
  '<i8': whole(8, true),
  '|u1': whole(1, false),
  '<u2': whole(2, false),
  '<u4': whole(4, false),
  '<u8': whole(8, false),
  '|b1': whole(1, false, true),
};

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

export function readNpy(bytes: Uint8Array): NpyArray {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 10 || buffer.toString('latin1', 0, 6) !== '\x93NUMPY') throw malformed('it is not an .npy file');
  const wide = buffer[6] !== 1;
  const start = wide ? 12 : 10;
  const length = wide ? buffer.readUInt32LE(8) : buffer.readUInt16LE(8);
  const header = buffer.toString('latin1', start, start + length);
  const match = /'descr': '([^']+)', 'fortran_order': False, 'shape': \(([^)]*)\)/.exec(header);
  if (match === null) throw malformed('its header is not understood');
  const [, descr, dims] = match as unknown as [string, string, string];
  const shape = dims
    .split(',')
    .filter((dim) => dim.trim() !== '')
    .map(Number);
  const accessor = accessors[descr];
  if (accessor === undefined) throw malformed(`its dtype ${descr} is not supported`);
  const data = buffer.subarray(start + length);
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (data.length !== count * accessor.size) throw malformed('its payload does not have the size of its shape');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return { descr, shape, values: Array.from({ length: count }, (_, i) => accessor.get(view, i * accessor.size)) };
}

export function writeNpy({ descr, shape, values }: NpyArray): Buffer {
  const accessor = accessors[descr];
  if (accessor === undefined) throw malformed(`its dtype ${descr} is not supported`);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const padded = `${text}${' '.repeat(63 - ((text.length + 10) % 64))}\n`;
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(padded.length, 8);
  const data = Buffer.alloc(values.length * accessor.size);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  values.forEach((value, i) => {
    accessor.set(view, i * accessor.size, value);
  });
  return Buffer.concat([head, Buffer.from(padded, 'latin1'), data]);
}

export async function readNpz(bytes: Uint8Array): Promise<{ name: string; npy: Buffer }[]> {
  const arrays: { name: string; npy: Buffer }[] = [];
  try {
    const zip = await yauzl.fromBufferPromise(Buffer.from(bytes));
    for await (const entry of zip.eachEntry()) {
      const pieces = await (await zip.openReadStreamPromise(entry)).toArray();
      arrays.push({ name: entry.fileName.replace(/\.npy$/, ''), npy: Buffer.concat(pieces as Buffer[]) });
    }
  } catch (cause) {
    throw new AegisError('MODEL_MALFORMED', 'It is not an .npz file.', cause);
  }
  return arrays;
}

/** Stored, not deflated, as np.savez writes it. */
export function writeNpz(arrays: readonly { name: string; npy: Uint8Array }[]): Buffer {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, npy } of arrays) {
    const file = Buffer.from(`${name}.npy`);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(0x00210000, 6);
    common.writeUInt32LE(crc32(npy), 10);
    common.writeUInt32LE(npy.length, 14);
    common.writeUInt32LE(npy.length, 18);
    common.writeUInt16LE(file.length, 22);
    common.writeUInt16LE(0x800, 2);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, file, npy]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, tail, file]));
    pieces.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(arrays.length, 8);
  end.writeUInt16LE(arrays.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...pieces, central, end]);
}

const malformed = (why: string): AegisError =>
  new AegisError('MODEL_MALFORMED', `${why[0]?.toUpperCase()}${why.slice(1)}.`);
