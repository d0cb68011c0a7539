// Hundreds of rounds in which anything may happen at any time: nodes fail, fall silent, answer late, twice, or lie; stages run out of
// time; processes begin anew. Either the sum of exactly those who delivered comes out, or the round ends with a reason and opens nothing.
import { describe, expect, it } from 'vitest';
import { Play, settings } from '../../testing/flower-round.ts';
import type { Answer, Stage } from './answer.ts';
import { requestTo } from './request.ts';
import { waitedFor } from './round.ts';
import type { Amount } from './terms.ts';

/** mulberry32: the same list for the same number. */
function chanceOf(seed: number): () => number {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Outcome {
  end: 'opened' | 'ended';
  dropped: number;
  restarts: number;
  refused: number;
}

/** What no stock node says, made of what one does say. */
function lie(answer: Answer, below: (bound: number) => number): Answer {
  switch (answer.stage) {
    case 'setup':
      return { ...answer, pk1: below(2) === 0 ? answer.pk2 : new Uint8Array(below(300)) };
    case 'share_keys':
      return {
        ...answer,
        sealed: below(2) === 0 ? answer.sealed.slice(1) : [...answer.sealed, ...answer.sealed.slice(0, 1)],
      };
    case 'unmask':
      return {
        ...answer,
        openings: answer.openings.map((opening, at) =>
          at === 0 ? { ...opening, share: new Uint8Array(below(60)) } : opening,
        ),
      };
    default:
      return { ...answer, node: answer.node + 1000n };
  }
}

function playOne(seed: number): Outcome {
  const chance = chanceOf(seed);
  const below = (bound: number): number => Math.floor(chance() * bound);
  const size = 2 + below(9);
  const ring = Array.from({ length: size }, (_, at) => (chance() < 0.2 ? 2n ** 63n : 0n) + BigInt(at * 7 + 1));
  const shares: Amount = chance() < 0.4 ? { fraction: 1 } : { count: 3 + below(Math.max(size - 2, 1)) };
  const play = new Play(
    ring.toSorted(() => chance() - 0.5),
    settings(shares, { fraction: 0.3 + chance() * 0.5 }),
  );
  // calm rounds and wild ones
  const wild = chance() * 0.25;
  const kept: Answer[] = [];
  const outcome: Outcome = { end: 'ended', dropped: 0, restarts: 0, refused: 0 };
  for (let steps = 0; play.round.stage !== 'ended' && play.round.stage !== 'open'; steps += 1) {
    if (steps > 2000) throw new Error('the round does not end');
    const stage = play.round.stage as Stage;
    const waiting = [...waitedFor(play.round)];
    const node = waiting[below(waiting.length)] as bigint;
    const what = chance();
    if (what < wild * 0.35) play.write({ kind: 'left', node, stage });
    else if (what < wild * 0.4) play.write({ kind: 'closed', stage });
    else if (what < wild * 0.7 && kept.length > 0) {
      // late or twice
      const before = play.round;
      const old = kept[below(kept.length)] as Answer;
      expect(play.hand(old)).not.toBeNull();
      expect(play.write({ kind: 'answer', answer: old }).round).toBe(before);
      outcome.refused += 1;
    } else if (what < wild) {
      const told = lie(play.ask(node), below);
      // its state has moved on as if it had answered: it can only fail now
      if (play.hand(told) !== null) {
        outcome.refused += 1;
        play.write({ kind: 'left', node, stage });
      }
    } else {
      const answer = play.ask(node);
      kept.push(answer);
      expect(play.hand(answer)).toBeNull();
    }
    if (chance() < 0.1) {
      const requests = ring.map((one) => requestTo(play.round, one));
      play.round = play.restarted();
      expect(ring.map((one) => requestTo(play.round, one))).toEqual(requests);
      outcome.restarts += 1;
    }
  }
  expect(play.bothAsked()).toEqual([]);
  if (play.round.stage === 'ended') {
    expect(play.round).toMatchObject({ code: 'SECAGG_TOO_FEW', reason: expect.stringMatching(/\d+ of \d+ nodes/) });
    return outcome;
  }
  const { delivered, sum } = play.opened();
  expect(delivered.length).toBeGreaterThan(1);
  expect(sum).toBe(delivered.reduce((total, one) => total + (play.nodes.get(one)?.value ?? Number.NaN), 0));
  return { ...outcome, end: 'opened', dropped: size - delivered.length };
}

describe('random rounds', () => {
  it('give the exact sum or end with a reason', () => {
    const outcomes: Outcome[] = [];
    for (let seed = 0; seed < 600; seed += 1) {
      try {
        outcomes.push(playOne(seed));
      } catch (cause) {
        throw new Error(`round ${seed}: ${(cause as Error).message}`, { cause });
      }
    }
    const count = (which: (outcome: Outcome) => boolean) => outcomes.filter(which).length;
    // the lists reach what they are for
    expect(count(({ end }) => end === 'opened')).toBeGreaterThan(200);
    expect(count(({ end, dropped }) => end === 'opened' && dropped > 0)).toBeGreaterThan(40);
    expect(count(({ end }) => end === 'ended')).toBeGreaterThan(60);
    expect(count(({ refused }) => refused > 0)).toBeGreaterThan(60);
    expect(count(({ restarts }) => restarts > 0)).toBeGreaterThan(200);
  });
});
