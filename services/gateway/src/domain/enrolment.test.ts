import { describe, expect, it } from 'vitest';
import { approval, createdNode, selfRegistration } from './enrolment.ts';
import { registerNode, removeNode } from './node.ts';

const known = registerNode({ nodeId: 7n, publicKey: '', fingerprint: 'f', name: '', selfRegistered: true }, 0);
const removed = removeNode(known, 1);
const refused = (code: string) => expect.objectContaining({ code });

describe('a node that registers itself', () => {
  it.each([
    ['open', null, 'create'],
    ['open', known, known],
  ] as const)('under %s enrolment may come in', (policy, existing, outcome) => {
    expect(selfRegistration(policy, existing)).toBe(outcome);
  });

  it.each([
    ['registered', null, 'ENROLMENT_CLOSED'],
    ['registered', known, 'ENROLMENT_CLOSED'],
    ['registered', removed, 'NODE_KEY_UNKNOWN'],
    ['open', removed, 'NODE_KEY_UNKNOWN'],
  ] as const)('under %s enrolment may not come in', (policy, existing, code) => {
    expect(() => selfRegistration(policy, existing)).toThrow(refused(code));
  });
});

describe('a node of dialect C', () => {
  it('comes in with a known key whatever the policy, with a new one through an open door only', () => {
    expect(createdNode('registered', known)).toBe(known);
    expect(createdNode('open', known)).toBe(known);
    expect(createdNode('open', null)).toBe('create');
    expect(() => createdNode('registered', null)).toThrow(refused('NODE_KEY_UNKNOWN'));
    expect(() => createdNode('open', removed)).toThrow(refused('NODE_KEY_UNKNOWN'));
  });
});

describe('a key an operator approves', () => {
  it('is new, or was removed; never taken from another node', () => {
    expect(approval(null)).toBe('create');
    expect(approval(removed)).toBe('replace');
    expect(() => approval(known)).toThrow(refused('NODE_KEY_IN_USE'));
  });
});
