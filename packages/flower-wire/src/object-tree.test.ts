import { ObjectTree } from '@aegis/contracts/flwr/proto/message';
import { describe, expect, it } from 'vitest';
import type { ObjectTreeNode } from './fleet-contract.ts';
import { decodeObjectTree, encodeObjectTree, idsOf } from './object-tree.ts';
import { readVectors } from './recorded.ts';

const id = (n: number): string => n.toString(16).padStart(64, '0');
const leaf = (n: number): ObjectTreeNode => ({ id: id(n), children: [] });
const code = (name: string) => expect.objectContaining({ code: name });

// biome-ignore lint/suspicious/noExplicitAny: a vector
const fromVector = (tree: any): ObjectTreeNode => ({ id: tree.object_id, children: tree.children.map(fromVector) });

describe('object trees', () => {
  it('of the real library survive the wire', () => {
    for (const { tree } of readVectors('flower/objects.json').cases) {
      expect(decodeObjectTree(encodeObjectTree(fromVector(tree)))).toEqual(fromVector(tree));
    }
  });

  it('list ids once, children first', () => {
    const tree = { id: id(1), children: [{ id: id(2), children: [leaf(3), leaf(4)] }, leaf(3), leaf(5)] };
    expect(idsOf(tree)).toEqual([3, 4, 2, 5, 1].map(id));
  });

  it('list ids of shared branches after entering each branch once', () => {
    let entered = 0;
    const watched = (name: string, children: ObjectTreeNode[]): ObjectTreeNode => ({
      id: name,
      get children() {
        entered += 1;
        return children;
      },
    });
    let layer: ObjectTreeNode[] = [];
    for (let depth = 0; depth < 6; depth++) {
      const below = layer;
      layer = Array.from({ length: 40 }, (_, n) => watched(id(depth * 100 + n), below));
    }
    expect(idsOf(watched(id(9999), layer))).toHaveLength(241);
    expect(entered).toBe(241);
  });

  it('refuse a node below itself, wrong ids, too deep and too many', () => {
    const cyclic = { id: id(1), children: [{ id: id(2), children: [leaf(1)] }] };
    expect(() => decodeObjectTree(encodeObjectTree(cyclic))).toThrow('appears below itself');
    for (const wrong of ['', 'abc', id(10).toUpperCase(), `${id(1)}0`]) {
      expect(() => decodeObjectTree(encodeObjectTree({ id: wrong, children: [] }))).toThrow('64 lower-case hex');
    }
    let deep = leaf(0);
    for (let n = 1; n <= 8; n++) deep = { id: id(n), children: [deep] };
    expect(() => decodeObjectTree(encodeObjectTree(deep))).toThrow('Deeper than 8 levels');
    const wide = { id: id(0), children: Array.from({ length: 20 }, (_, n) => leaf(n + 1)) };
    expect(() => decodeObjectTree(encodeObjectTree(wide), { nodes: 20, depth: 8 })).toThrow('More than 20 nodes');
    expect(decodeObjectTree(encodeObjectTree(wide), { nodes: 21, depth: 8 })).toEqual(wide);
  });

  it('stop counting a flood of empty nodes at the limit', () => {
    const flood = Buffer.concat([
      Buffer.from(ObjectTree.encode({ objectId: id(1), children: [] }).finish()),
      flooded(1e6),
    ]);
    expect(() => decodeObjectTree(flood)).toThrow(code('OBJECT_TREE'));
  });

  it('refuse bytes that are no message', () => {
    expect(() => decodeObjectTree(Buffer.from([0x0a, 0x40, 1]))).toThrow(code('REQUEST_MALFORMED'));
  });

  it('refuse nesting that would exhaust the stack', () => {
    let bytes = Buffer.alloc(0);
    for (let n = 0; n < 5000; n++) {
      const length = bytes.length;
      const varint = [];
      let left = length;
      do {
        varint.push(left > 127 ? (left & 127) | 128 : left);
        left >>>= 7;
      } while (left > 0);
      bytes = Buffer.concat([Buffer.from([0x12, ...varint]), bytes]);
    }
    expect(() => decodeObjectTree(bytes)).toThrow(expect.objectContaining({ name: 'AegisError' }));
  });
});

/** Empty children: two bytes each. */
const flooded = (count: number): Buffer => Buffer.alloc(2 * count, Buffer.from([0x12, 0x00]));
