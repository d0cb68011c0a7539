// Trees of objects as they travel beside a message. Flower has no bound; we read with one, node by node, so that a
// small request cannot unfold into a large structure.

import { ObjectTree } from '@aegis/contracts/flwr/proto/message';
import { StrictReader } from '@aegis/contracts/strict-reader';
import { AegisError } from '@aegis/errors';
import { WireType } from '@bufbuild/protobuf/wire';
import type { ObjectTreeNode } from './fleet-contract.ts';
import { limits } from './limits.ts';
import { isObjectId } from './objects.ts';

export interface TreeLimits {
  nodes: number;
  depth: number;
}

const refuse = (detail: string): AegisError => new AegisError('OBJECT_TREE', detail);

/** Reads an ObjectTree message. At most 200,000 nodes and depth 8, ids of 64 lower-case hex characters, no id below itself. */
export function decodeObjectTree(
  bytes: Uint8Array,
  bounds: TreeLimits = { nodes: limits.treeNodes, depth: limits.treeDepth },
): ObjectTreeNode {
  let nodes = 0;
  const above: string[] = [];

  const readNode = (part: Uint8Array): ObjectTreeNode => {
    nodes += 1;
    if (nodes > bounds.nodes) throw refuse(`More than ${bounds.nodes} nodes.`);
    if (above.length >= bounds.depth) throw refuse(`Deeper than ${bounds.depth} levels.`);
    let id = '';
    const below: Uint8Array[] = [];
    const reader = new StrictReader(part);
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === 1 && wire === WireType.LengthDelimited) id = reader.string();
      else if (field === 2 && wire === WireType.LengthDelimited) {
        if (below.length + nodes >= bounds.nodes) throw refuse(`More than ${bounds.nodes} nodes.`);
        below.push(reader.bytes());
      } else reader.skip(wire, field);
    }
    if (!isObjectId(id)) throw refuse('An id is not 64 lower-case hex characters.');
    if (above.includes(id)) throw refuse(`The object ${id} appears below itself.`);
    above.push(id);
    const children = below.map(readNode);
    above.pop();
    return { id, children };
  };

  try {
    return readNode(bytes);
  } catch (caught) {
    if (caught instanceof AegisError) throw caught;
    throw new AegisError('REQUEST_MALFORMED', 'Not an ObjectTree message.', caught);
  }
}

export function encodeObjectTree(tree: ObjectTreeNode): Buffer {
  return Buffer.from(ObjectTree.encode(toWireTree(tree)).finish());
}

export function toWireTree({ id, children }: ObjectTreeNode): ObjectTree {
  return { objectId: id, children: children.map(toWireTree) };
}

/**
 * The distinct ids below and including `tree`, children before parents: the order in which nodes push and pull. Each id
 * is entered once: a tree in memory may share its branches.
 */
export function idsOf(tree: ObjectTreeNode): string[] {
  const ids = new Set<string>();
  const visit = (node: ObjectTreeNode): void => {
    if (ids.has(node.id)) return;
    for (const child of node.children) visit(child);
    ids.add(node.id);
  };
  visit(tree);
  return [...ids];
}
