import { makeObject, type ObjectType } from '@aegis/flower-wire';
import { expect, it } from 'vitest';
import type { UploadRecord } from '../../domain/upload.ts';
import { ReplyObjects } from './reply-objects.ts';

/** Everything was forgotten: each object is read back, and counted. */
const stored = () => {
  const objects = new Map<string, Buffer>();
  let reads = 0;
  const add = (type: ObjectType, children: string[], body: string): string => {
    const { id, bytes } = makeObject(type, children, Buffer.from(body));
    objects.set(id, bytes);
    return id;
  };
  const assemble = (replyId: string) => {
    const upload = { session: 's', replyId, partIds: [...objects.keys()] } as unknown as UploadRecord;
    return new ReplyObjects(1).assemble(upload, async (id, length) => {
      reads += 1;
      return (objects.get(id) ?? expect.fail('never stored')).subarray(0, length);
    });
  };
  return { objects, add, assemble, reads: () => reads };
};

const WIDTH = 200;
const layer = (make: (index: number) => string) => Array.from({ length: WIDTH }, (_none, index) => make(index));

it('refuses records made of records before it has read more than each object once', async () => {
  const { objects, add, assemble, reads } = stored();
  let below: string[] = [];
  for (let depth = 0; depth < 5; depth += 1) {
    const children = below;
    below = layer((index) => add('ArrayRecord', children, `${depth} ${index}`));
  }
  const message = add('Message', [add('RecordDict', below, '{}')], '');
  await expect(assemble(message)).rejects.toMatchObject({ code: 'OBJECT_TREE' });
  expect(reads()).toBeLessThanOrEqual(2 * objects.size);
});

it('shares branches: each object is read once, and is one node of the tree however often it is used', async () => {
  const { objects, add, assemble, reads } = stored();
  const chunks = layer((index) => add('ArrayChunk', [], `${index}`));
  const arrays = layer((index) => add('Array', chunks, `${index}`));
  const records = layer((index) => add('ArrayRecord', arrays, `${index}`));
  const { tree } = await assemble(add('Message', [add('RecordDict', records, '{}')], ''));
  expect(reads()).toBeLessThanOrEqual(2 * objects.size);
  const nodes = new Set([tree]);
  for (const node of nodes) for (const child of node.children) nodes.add(child);
  expect(nodes.size).toBe(objects.size);
});
