import { AegisError } from '@aegis/errors';
import { type NodeRecord, refuseRemoved } from './node.ts';

/** open: any node with a key may register itself. registered: an operator registers keys, nobody else. */
export type EnrolmentPolicy = 'open' | 'registered';

/**
 * May this key, already proven, register itself? Returns the node it belongs to when it is registered already: a
 * repeated registration is a client that did not hear our answer.
 */
export const selfRegistration = (policy: EnrolmentPolicy, existing: NodeRecord | null): NodeRecord | 'create' => {
  if (existing !== null) {
    refuseRemoved(existing);
    if (policy === 'open') return existing;
  }
  if (policy === 'registered') throw new AegisError('ENROLMENT_CLOSED');
  return 'create';
};

/** Flower 1.20 to 1.22 have one call for "here I am": a known key becomes active, an unknown one needs an open door. */
export const createdNode = (policy: EnrolmentPolicy, existing: NodeRecord | null): NodeRecord | 'create' => {
  if (existing !== null) {
    refuseRemoved(existing);
    return existing;
  }
  if (policy === 'registered') throw new AegisError('NODE_KEY_UNKNOWN');
  return 'create';
};

/** An operator registers a key. A removed key may be let in again; a key in use may not be taken. */
export const approval = (existing: NodeRecord | null): 'create' | 'replace' => {
  if (existing === null) return 'create';
  if (existing.activity === 'removed') return 'replace';
  throw new AegisError('NODE_KEY_IN_USE', `It belongs to node ${existing.nodeId}.`);
};
