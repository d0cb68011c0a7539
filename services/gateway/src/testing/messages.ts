import type { MessageHead, ObjectTreeNode } from '@aegis/flower-wire';

export interface Offer {
  head: MessageHead;
  tree: ObjectTreeNode;
}

/** A reply as it goes over the wire. */
export interface Reply {
  head: MessageHead & { error: { code: number; reason: string } | null };
  tree: ObjectTreeNode;
  objects: Map<string, Buffer>;
}
