// A round as whoever drives it keeps it: every fact that is let in is written down, and the state is what they fold to.
import { AegisError } from '@aegis/errors';
import { type Answer, type Fact, indexOf, type Stage } from '../domain/flower-secagg/answer.ts';
import { removalOf } from '../domain/flower-secagg/removal.ts';
import { requestTo } from '../domain/flower-secagg/request.ts';
import { afterFact, beginRound, checkAnswer, waitedFor } from '../domain/flower-secagg/round.ts';
import type { Round } from '../domain/flower-secagg/state.ts';
import { type Amount, type FlowerSettings, type NodeId, termsFor } from '../domain/flower-secagg/terms.ts';
import { modulo, pairMask, privateMask, ScriptedNode } from './scripted-flower-node.ts';

export const settings = (numShares: Amount, reconstructionThreshold: Amount): FlowerSettings => ({
  numShares,
  reconstructionThreshold,
  maxWeight: 1000,
  clippingRange: 8,
  targetRange: 2 ** 22,
  modRange: 2 ** 32,
});

export class Play {
  readonly facts: Fact[] = [];
  readonly nodes: ReadonlyMap<NodeId, ScriptedNode>;
  private readonly begun: Round;
  private readonly number: number;
  round: Round;

  /** `number`: how often these nodes have begun a round, this one included. */
  constructor(ring: readonly NodeId[], how: FlowerSettings, nodes?: ReadonlyMap<NodeId, ScriptedNode>, number = 1) {
    this.begun = beginRound(termsFor(how, ring));
    this.round = this.begun;
    this.nodes = nodes ?? new Map(ring.map((node, at) => [node, new ScriptedNode(node, 1000 + at)]));
    this.number = number;
  }

  write(fact: Fact): this {
    this.facts.push(fact);
    this.round = afterFact(this.round, fact);
    return this;
  }

  /** The code of a refusal, or null. */
  hand(answer: Answer): string | null {
    try {
      checkAnswer(this.round, answer);
    } catch (error) {
      return AegisError.from(error).code;
    }
    this.write({ kind: 'answer', answer });
    return null;
  }

  /** What the node says to what it is asked now. */
  ask(node: NodeId): Answer {
    const request = requestTo(this.round, node);
    if (request === null) throw new Error(`nothing is asked of ${node}`);
    return (this.nodes.get(node) as ScriptedNode).answer(request);
  }

  /** Everybody who is waited for answers, but for those named, who fail. */
  stage(...failing: NodeId[]): this {
    const { stage } = this.round;
    for (const node of waitedFor(this.round)) {
      if (this.round.stage !== stage) break;
      if (failing.includes(node)) this.write({ kind: 'left', node, stage: stage as Stage });
      else this.hand(this.ask(node));
    }
    return this;
  }

  /** As a process that begins anew from what is written. */
  restarted(): Round {
    return this.facts.reduce(afterFact, this.begun);
  }

  /** The sum that opens, as the arithmetic behind would find it: who is in it, and what is left when the masks are gone. */
  opened(): { delivered: NodeId[]; sum: number } {
    if (this.round.stage !== 'open') throw new Error(`the round is at ${this.round.stage}`);
    const { terms, delivered } = this.round;
    const removal = removalOf(this.round);
    let sum = 0;
    for (const node of delivered) sum += (this.nodes.get(node) as ScriptedNode).masked;
    for (const { node, shares } of removal.seeds) {
      expectShares(shares, terms.threshold, 52);
      sum -= privateMask(node, this.number);
    }
    for (const { node, shares, delivered: peers } of removal.keys) {
      expectShares(shares, terms.threshold, 324);
      // what the others added for their pair with it
      for (const peer of peers) sum -= pairMask(peer.node, node, this.number);
    }
    return { delivered: [...delivered], sum: modulo(sum) };
  }

  /** Nobody was ever asked for both secrets of one node. */
  bothAsked(): NodeId[] {
    const seeds = new Set<NodeId>();
    const keys = new Set<NodeId>();
    for (const node of this.nodes.values()) {
      for (const of of node.askedSeeds) seeds.add(of);
      for (const of of node.askedKeys) keys.add(of);
    }
    return [...seeds].filter((node) => keys.has(node));
  }
}

function expectShares(shares: readonly Uint8Array[], threshold: number, bytes: number): void {
  const indices = new Set(shares.map(indexOf));
  if (shares.length !== threshold || indices.size !== threshold)
    throw new Error(`${indices.size} shares of ${threshold}`);
  if (shares.some(({ length }) => length !== bytes)) throw new Error('shares of the other secret');
}
