import { AegisError } from '@aegis/errors';
import { checkChild, type HeldObject, holdObject, type ObjectTreeNode } from '@aegis/flower-wire';
import type { UploadRecord } from '../../domain/upload.ts';
import { BoundedCache } from '../bounded-cache.ts';

/** Enough of an ArrayChunk to read its header: a type, no children, and a length. */
const CHUNK_PREFIX = 64;
const ENTRY_BYTES = 400;
const MAX_DEPTH = 8;

export type ReadPart = (partId: string, length?: number) => Promise<Buffer>;

/**
 * The small structural objects of replies in flight. Only a cache: an object that is not here, after a restart or because
 * memory was short, is read back from where the aggregator keeps it.
 */
export class ReplyObjects {
  readonly #held: BoundedCache<string, HeldObject>;

  constructor(bytes: number) {
    this.#held = new BoundedCache(bytes);
  }

  /**
   * Checks the layout of a part before it is stored, and keeps what reading the reply will need. An object may only
   * point to objects that were announced with it.
   */
  check(partId: string, content: Buffer, isAnnounced: (id: string) => boolean): HeldObject {
    const object = holdObject(content);
    const stranger = object.children.find((id) => !isAnnounced(id));
    if (stranger !== undefined)
      throw new AegisError('OBJECT_TREE', `Object ${partId} names ${stranger}, never announced.`);
    return object;
  }

  keep(upload: UploadRecord, partId: string, object: HeldObject): void {
    this.#held.set(
      keyOf(upload, partId),
      object,
      ENTRY_BYTES + 80 * object.children.length + (object.body?.length ?? 0),
    );
  }

  forget(upload: UploadRecord): void {
    for (const partId of upload.partIds) this.#held.delete(keyOf(upload, partId));
  }

  /** The whole reply: its objects, and the tree they form, which must be all that was announced and nothing else. */
  async assemble(
    upload: UploadRecord,
    read: ReadPart,
  ): Promise<{ tree: ObjectTreeNode; objects: ReadonlyMap<string, HeldObject> }> {
    const announced = new Set(upload.partIds);
    const objects = new Map<string, HeldObject>();
    const trees = new Map<string, ObjectTreeNode>();
    const visit = async (id: string, depth: number): Promise<ObjectTreeNode> => {
      const done = trees.get(id);
      if (done) return done;
      if (depth > MAX_DEPTH) throw new AegisError('OBJECT_TREE', `Deeper than ${MAX_DEPTH} levels.`);
      if (!announced.has(id)) throw new AegisError('OBJECT_TREE', `Object ${id} was never announced.`);
      const object = this.#held.get(keyOf(upload, id)) ?? (await readBack(id, read));
      objects.set(id, object);
      const children: ObjectTreeNode[] = [];
      for (const child of object.children) {
        children.push(await visit(child, depth + 1));
        const type = objects.get(child)?.type;
        if (type !== undefined) checkChild(object.type, child, type);
      }
      const tree = { id, children };
      trees.set(id, tree);
      return tree;
    };
    const tree = await visit(upload.replyId, 1);
    if (objects.size !== announced.size) {
      throw new AegisError('OBJECT_TREE', `${announced.size - objects.size} announced objects belong to nothing.`);
    }
    return { tree, objects };
  }
}

const keyOf = (upload: UploadRecord, partId: string): string => `${upload.session} ${partId}`;

const readBack = async (id: string, read: ReadPart): Promise<HeldObject> => {
  const prefix = await read(id, CHUNK_PREFIX);
  const chunk = chunkOf(prefix);
  return chunk ?? holdObject(await read(id));
};

/** An ArrayChunk by its first bytes alone: what it holds may be megabytes that nobody here needs. */
const chunkOf = (prefix: Buffer): HeldObject | null => {
  const match = /^ArrayChunk {2}(0|[1-9][0-9]{0,14})\0/.exec(prefix.toString('latin1', 0, CHUNK_PREFIX));
  if (!match?.[1]) return null;
  return { type: 'ArrayChunk', children: [], headerLength: match[0].length, bodyLength: Number(match[1]), body: null };
};
