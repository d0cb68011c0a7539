import { ascending } from './request.ts';
import { secretsOf, sharesByOwner } from './round.ts';
import { near, type Openable } from './state.ts';
import type { NodeId } from './terms.ts';

/** Which masks are to be taken from the sum, and with what: exactly a threshold of shares of each secret. */
export interface Removal {
  readonly seeds: readonly { readonly node: NodeId; readonly shares: readonly Uint8Array[] }[];
  readonly keys: readonly {
    readonly node: NodeId;
    readonly publicKey: Uint8Array;
    readonly shares: readonly Uint8Array[];
    /** With whom its masks are in the sum. */
    readonly delivered: readonly { readonly node: NodeId; readonly publicKey: Uint8Array }[];
  }[];
}

export function removalOf(round: Openable): Removal {
  const keyOf = (node: NodeId): Uint8Array => round.keys.get(node)?.pk1 ?? new Uint8Array();
  const opened = sharesByOwner(round);
  const shares = (node: NodeId): Uint8Array[] =>
    [...(opened.get(node) ?? [])]
      .sort(([one], [other]) => one - other)
      .slice(0, round.terms.threshold)
      .map(([, share]) => share);
  const secrets = ascending(secretsOf(round));
  return {
    seeds: secrets.filter((node) => round.delivered.has(node)).map((node) => ({ node, shares: shares(node) })),
    keys: secrets
      .filter((node) => round.dropped.has(node))
      .map((node) => ({
        node,
        publicKey: keyOf(node),
        shares: shares(node),
        delivered: ascending(near(round, node, round.delivered)).map((peer) => ({
          node: peer,
          publicKey: keyOf(peer),
        })),
      })),
  };
}
