import { afterPurposes, afterStatement, type Consent, type ConsentStatement } from '../domain/consent.ts';
import type { NodeRecord } from '../domain/node.ts';
import type { Gateway } from './gateway.ts';

/** What the node says of one purpose or run. Only who was authenticated as the node may call this. */
export const stateConsent = (
  gateway: Gateway,
  node: NodeRecord,
  statement: ConsentStatement,
): Promise<readonly Consent[]> => {
  const now = gateway.clock.now();
  return keep(gateway, node, (before) => afterStatement(before, statement, now));
};

/** All purposes that the node agrees to; others are withdrawn. Only who was authenticated as the node may call this. */
export const statePurposes = (
  gateway: Gateway,
  node: NodeRecord,
  purposes: readonly { readonly purpose: string; readonly version: string }[],
): Promise<readonly Consent[]> => {
  const now = gateway.clock.now();
  return keep(gateway, node, (before) => afterPurposes(before, purposes, now));
};

/** Newest first. */
export const consentsOf = async (gateway: Gateway, node: NodeRecord): Promise<Consent[]> =>
  newestFirst(await gateway.consents.of(node.nodeId));

/** Of every node that ever said anything. */
export const listConsents = async (gateway: Gateway): Promise<{ nodeId: bigint; consents: Consent[] }[]> =>
  (await gateway.consents.list()).map(([nodeId, consents]) => ({ nodeId, consents: newestFirst(consents) }));

/** Durable when it resolves, and each change written down: what it was about, which text, when. */
const keep = async (
  { consents, audit, log }: Gateway,
  { nodeId }: NodeRecord,
  change: (before: readonly Consent[]) => readonly Consent[],
): Promise<readonly Consent[]> => {
  const { before, after } = await consents.change(nodeId, change);
  for (const { to, version, given } of after.filter((one) => !before.includes(one))) {
    const event = given ? 'consent-given' : 'consent-withdrawn';
    log.info({ node: nodeId, to, version, given }, 'a node said what it consents to');
    await audit.note({ event, actor: `node ${nodeId}`, subject: `node ${nodeId}`, detail: `${to} ${version}`.trim() });
  }
  return newestFirst(after);
};

const newestFirst = (consents: readonly Consent[]): Consent[] => [...consents].sort((a, b) => b.at - a.at);
