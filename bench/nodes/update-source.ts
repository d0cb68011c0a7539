import { createHash, type Hash, randomBytes } from 'node:crypto';
import type { ArraySpec } from './layout.ts';
import { type FlowerObject, makeObject, objectHeader, pythonJson } from './object-bytes.ts';

/** flwr cuts array data into chunks of this size. */
const CHUNK_BYTES = 5_242_880;
/** Only the last floats of a chunk differ from node to node and round to round, so hashing an update costs next to nothing. */
const UNIQUE_BYTES = 32;

interface ChunkTemplate {
  header: Buffer;
  /** Shared by all updates of the process. */
  shared: Buffer;
  uniqueBytes: number;
  /** SHA-256 of header and shared, to be continued. */
  hashed: Hash;
}

export interface UpdateArrays {
  record: FlowerObject;
  /** All objects, children first. */
  objects: FlowerObject[];
  tree: Tree;
  chunkBytes: number;
}

export interface Tree {
  objectId: string;
  children: Tree[];
}

/** Makes updates of one layout: each with its own chunks, none with its own copy of the parameters. */
export class UpdateSource {
  readonly #arrays: { name: string; shape: number[]; chunks: ChunkTemplate[] }[];
  readonly #probes = new Map<string, number>();

  constructor(layout: ArraySpec[]) {
    this.#arrays = layout.map(({ name, shape }) => {
      const npy = npyOf(shape);
      if (npy.length > npy.readUInt16LE(8) + 10 + 2 * UNIQUE_BYTES)
        this.#probes.set(name, npy.readFloatLE(npyDataOffset(npy)));
      return { name, shape, chunks: cut(npy) };
    });
  }

  next(): UpdateArrays {
    const objects: FlowerObject[] = [];
    const children: Tree[] = [];
    const names: Record<string, string> = {};
    let chunkBytes = 0;
    for (const { name, shape, chunks } of this.#arrays) {
      const made = chunks.map(uniqueChunk);
      chunkBytes += chunks.reduce((sum, chunk) => sum + chunk.shared.length + chunk.uniqueBytes, 0);
      const ids = made.map((chunk) => chunk.id);
      const body = { dtype: 'float32', shape, stype: 'numpy.ndarray', arraychunk_ids: ids.map((_, index) => index) };
      const array = makeObject('Array', ids, Buffer.from(pythonJson(body)));
      objects.push(...made, array);
      names[name] = array.id;
      children.push({ objectId: array.id, children: ids.map((objectId) => ({ objectId, children: [] })) });
    }
    const record = makeObject('ArrayRecord', Object.values(names), Buffer.from(pythonJson(names)));
    objects.push(record);
    return { record, objects, tree: { objectId: record.id, children }, chunkBytes };
  }

  /**
   * True if the first parameter of the array is the weighted mean of what the nodes sent: all sent the same one.
   * Null if the array is too small to have a parameter that is the same in every update.
   */
  isMean(name: string, firstChunk: Buffer): boolean | null {
    const expected = this.#probes.get(name);
    if (expected === undefined) return null;
    const npy = firstChunk.subarray(firstChunk.indexOf(0) + 1);
    return Math.abs(npy.readFloatLE(npyDataOffset(npy)) - expected) < 1e-5;
  }
}

const npyDataOffset = (npy: Buffer): number => 10 + npy.readUInt16LE(8);

/** An .npy file of normal-looking weights. */
function npyOf(shape: number[]): Buffer {
  const count = shape.reduce((product, size) => product * size, 1);
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  const padded = Math.ceil((10 + dictionary.length + 1) / 64) * 64;
  const npy = Buffer.alloc(padded + 4 * count);
  npy.write('\x93NUMPY\x01\x00', 'latin1');
  npy.writeUInt16LE(padded - 10, 8);
  npy.write(`${dictionary.padEnd(padded - 11)}\n`, 10, 'latin1');
  const data = new Float32Array(npy.buffer, npy.byteOffset + padded, count);
  const noise = new Int16Array(randomBytes(65_536).buffer.slice(0));
  for (let index = 0; index < count; index += 1) {
    data[index] = ((noise[index % noise.length] as number) + (noise[(index * 7) % noise.length] as number)) * 1e-6;
  }
  return npy;
}

function cut(npy: Buffer): ChunkTemplate[] {
  const chunks: ChunkTemplate[] = [];
  for (let at = 0; at < npy.length; at += CHUNK_BYTES) {
    const data = npy.subarray(at, at + CHUNK_BYTES);
    const floats = at === 0 ? data.length - npyDataOffset(npy) : data.length;
    const uniqueBytes = Math.min(UNIQUE_BYTES, floats);
    const header = objectHeader('ArrayChunk', [], data.length);
    const shared = data.subarray(0, data.length - uniqueBytes);
    chunks.push({ header, shared, uniqueBytes, hashed: createHash('sha256').update(header).update(shared) });
  }
  return chunks;
}

function uniqueChunk(template: ChunkTemplate): FlowerObject {
  const unique = Buffer.alloc(template.uniqueBytes);
  for (let at = 0; at < unique.length; at += 4) unique.writeFloatLE((Math.random() - 0.5) * 0.1, at);
  const id = template.hashed.copy().update(unique).digest('hex');
  return { id, pieces: [template.header, template.shared, unique] };
}
