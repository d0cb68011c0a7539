import type { Keys } from './answer.ts';
import { askedIn } from './round.ts';
import { near, type Round } from './state.ts';
import type { FlowerTerms, NodeId } from './terms.ts';

/** What a node is asked in a stage; in the third with the model and the configuration of its training. */
export type Request =
  | ({
      readonly stage: 'setup';
      readonly sampleNum: number;
      readonly shareNum: number;
    } & Omit<FlowerTerms, 'ring' | 'shares'>)
  | { readonly stage: 'share_keys'; readonly keys: readonly ({ readonly node: NodeId } & Keys)[] }
  | {
      readonly stage: 'collect_masked_vectors';
      readonly sealed: readonly { readonly from: NodeId; readonly ciphertext: Uint8Array }[];
    }
  | { readonly stage: 'unmask'; readonly active: readonly NodeId[]; readonly dead: readonly NodeId[] };

/** Null: nothing. It follows from the facts alone: in a stage a node is asked the same, however often and by whatever process. */
export function requestTo(round: Round, node: NodeId): Request | null {
  if (!askedIn(round).has(node)) return null;
  switch (round.stage) {
    case 'setup': {
      const { ring, shares, threshold, ...range } = round.terms;
      return { stage: 'setup', sampleNum: ring.length, shareNum: shares, threshold, ...range };
    }
    case 'share_keys': {
      const keys = ascending(near(round, node, round.keys)).flatMap((peer) => {
        const found = round.keys.get(peer);
        return found === undefined ? [] : [{ node: peer, ...found }];
      });
      return { stage: 'share_keys', keys };
    }
    case 'collect_masked_vectors': {
      const senders = ascending(near(round, node, round.participants)).filter((peer) => peer !== node);
      const sealed = senders.flatMap((from) => {
        const own = round.sealed.get(from)?.find(({ to }) => to === node);
        return own === undefined ? [] : [{ from, ciphertext: own.ciphertext }];
      });
      return { stage: 'collect_masked_vectors', sealed };
    }
    case 'unmask':
      return {
        stage: 'unmask',
        active: ascending(near(round, node, round.delivered)),
        dead: ascending(near(round, node, round.dropped)),
      };
    default:
      return null;
  }
}

export const ascending = (nodes: Iterable<NodeId>): NodeId[] => [...nodes].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
