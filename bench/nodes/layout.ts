import { readObjectHead } from './object-bytes.ts';

export interface ArraySpec {
  name: string;
  shape: number[];
  /** The array's chunks in the order of its data. */
  chunks: string[];
}

interface ArrayBody {
  dtype: string;
  shape: number[];
  arraychunk_ids: number[];
}

/** Reads a task's model structure from its small objects. Null when the task carries no arrays. */
export function readLayout(small: Map<string, Buffer>): ArraySpec[] | null {
  const record = [...small.values()].find((bytes) => readObjectHead(bytes).type === 'ArrayRecord');
  if (!record) return null;
  const names = bodyOf<Record<string, string>>(record);
  return Object.entries(names).map(([name, id]) => {
    const object = small.get(id);
    if (!object) throw new Error(`array ${name} is not in the task`);
    const { dtype, shape, arraychunk_ids } = bodyOf<ArrayBody>(object);
    if (dtype !== 'float32') throw new Error(`array ${name} is ${dtype}; the bench nodes train float32`);
    const { children } = readObjectHead(object);
    return { name, shape, chunks: arraychunk_ids.map((index) => children[index] as string) };
  });
}

const bodyOf = <T>(object: Buffer): T => JSON.parse(object.toString('utf8', readObjectHead(object).bodyStart)) as T;
