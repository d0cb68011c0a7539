// The round machine under the rules of a private run: it pays before it asks, closes late, replaces nobody.
import { describe, expect, it } from 'vitest';
import type { PrivateSampling } from './privacy-plan.ts';
import { openRound, type RoundEffect, type RoundInput, type RoundState } from './round.ts';
import { phaseLine } from './round-report.ts';
import { stepAll } from './round-step.ts';
import { real } from './scalar.ts';

const opened = (sampling: PrivateSampling = { kind: 'none' }): RoundState =>
  openRound(
    {
      runId: 1n,
      round: 2,
      rounds: 6,
      kind: 'train',
      modelId: 'm',
      rules: {
        sampling: { fraction: 1, minNodes: 2, minAvailable: 2, overSelect: 1 },
        minReport: null,
        deadlineSeconds: 60,
        tries: 2,
        optional: false,
        privacy: { sampling, clip: 1, noiseMultiplier: 1, adapts: false, weightMax: null, denominator: null },
      },
    },
    0,
  );

/** Plays inputs; a draw takes `cohort` of what is offered. */
class Play {
  state: RoundState;
  effects: RoundEffect[] = [];
  readonly cohort: readonly bigint[];

  constructor(sampling?: PrivateSampling, cohort: readonly bigint[] = [1n, 2n, 3n]) {
    this.state = opened(sampling);
    this.cohort = cohort;
  }

  give(input: RoundInput, seconds = 0): this {
    this.effects = [];
    for (let pending = [input]; pending.length > 0; ) {
      const next = stepAll(this.state, pending, seconds * 1000);
      this.state = next.state;
      this.effects.push(...next.effects);
      pending = next.effects.flatMap((effect) =>
        effect.do === 'draw'
          ? [
              {
                type: 'drawn' as const,
                tasks: this.cohort.map((nodeId) => ({ nodeId, taskId: `t${nodeId}-${this.state.attempt}` })),
                wanted: effect.wanted,
                traceparent: 'trace',
                units: this.cohort.map((node) => `k-${node}`),
              },
            ]
          : [],
      );
    }
    return this;
  }

  did(): string[] {
    return this.effects.map((effect) => effect.do);
  }

  logs(): string[] {
    return this.effects.flatMap((effect) => (effect.do === 'log' ? [effect.line] : []));
  }

  /** Paid for and sent. */
  collecting(): this {
    return this.give(online(1n, 2n, 3n)).give({ type: 'reserved', reservationId: 'r1' });
  }
}

const online = (...nodes: bigint[]): RoundInput => ({ type: 'nodes', online: new Set(nodes) });
const accept = (taskId: string): RoundInput => ({ type: 'accepted', taskId });
const fail = (taskId: string): RoundInput => ({ type: 'failed', taskId, code: '2', reason: 'error 2' });
const poisson = { kind: 'poisson', rate: 0.5 } as const;

describe('a private round', () => {
  it('pays before it asks, and asks the ledger for the same after a crash', () => {
    const play = new Play().give(online(1n, 2n, 3n));
    expect(play.did()).toEqual(['draw', 'save', 'reserve']);
    expect(play.state).toMatchObject({ stage: 'reserving', dispatchedAt: null, units: ['k-1', 'k-2', 'k-3'] });
    const before = play.state;
    expect(play.give({ type: 'resumed', recorded: new Set() }).did()).toEqual(['reserve']);
    expect(play.state).toEqual(before);
    expect(play.give({ type: 'reserved', reservationId: 'r1' }, 5).did()).toEqual(['save', 'dispatch', 'wake']);
    expect(play.state).toMatchObject({ stage: 'collecting', reservationId: 'r1', dispatchedAt: 5000 });
    expect(play.state.units).toBeUndefined();
  });

  it('fails with the reason of the ledger, and has asked nobody', () => {
    const play = new Play().give(online(1n, 2n, 3n)).give({ type: 'not-reserved', reason: 'the budget is spent' });
    expect(play.state).toMatchObject({ stage: 'ended', ended: { end: 'failed', reason: 'the budget is spent' } });
    expect(play.did()).not.toContain('dispatch');
    expect(play.did()).not.toContain('release');
  });

  it('waits for everybody, however many have answered', () => {
    const play = new Play().collecting().give(accept('t1-1')).give(accept('t2-1'));
    expect(play.state.stage).toBe('collecting');
    expect(play.give(accept('t3-1')).did()).toEqual(['withdraw', 'save', 'finish']);
  });

  it('closes with whoever answered, when the others failed, left, or let the deadline pass', () => {
    const play = new Play().collecting().give(fail('t1-1')).give(online(1n, 3n));
    expect(play.state.stage).toBe('collecting');
    expect(play.give(accept('t3-1')).state.stage).toBe('finishing');
    const late = new Play().collecting().give(accept('t2-1')).give({ type: 'tick' }, 60);
    expect(late.state.stage).toBe('finishing');
    expect(late.did()).toContain('miss');
  });

  it('counts an answer that was being written at the deadline', () => {
    const play = new Play().collecting().give({ type: 'recording', taskId: 't1-1' }).give({ type: 'tick' }, 60);
    expect(play.state.stage).toBe('closing');
    expect(play.give(accept('t1-1'), 61).state.stage).toBe('finishing');
  });
});

describe('nobody answered', () => {
  it('gives the reservation back and tries once more under a new one', () => {
    const play = new Play().collecting().give({ type: 'tick' }, 60);
    expect(play.effects).toContainEqual({
      do: 'release',
      reservationId: 'r1',
      reason: '0 of the 1 answers needed came within 60 s',
    });
    const did = play.did();
    expect(did.indexOf('save')).toBeLessThan(did.indexOf('release'));
    expect(did.indexOf('release')).toBeLessThan(did.indexOf('discard'));
    expect(play.state).toMatchObject({ stage: 'selecting', attempt: 2 });
    expect(play.state.reservationId).toBeUndefined();
    expect(play.give(online(1n, 2n, 3n), 61).state).toMatchObject({ stage: 'reserving', attempt: 2 });
  });

  it('the second time is the last: it fails, and that one is given back too', () => {
    const play = new Play()
      .collecting()
      .give({ type: 'tick' }, 60)
      .give(online(1n, 2n, 3n), 60);
    play.give({ type: 'reserved', reservationId: 'r2' }, 60).give({ type: 'tick' }, 120);
    expect(play.effects).toContainEqual(expect.objectContaining({ do: 'release', reservationId: 'r2' }));
    expect(play.state.ended).toMatchObject({ end: 'failed' });
  });

  it('the same when all of them failed', () => {
    const play = new Play().collecting().give(fail('t1-1')).give(fail('t2-1')).give(fail('t3-1'));
    expect(play.state).toMatchObject({ stage: 'selecting', attempt: 2 });
    expect(play.did()).toContain('release');
  });

  it('of a secret cohort: releases noise all the same, since a second try would tell', () => {
    const play = new Play(poisson).collecting().give({ type: 'tick' }, 60);
    expect(play.state).toMatchObject({ stage: 'finishing', attempt: 1 });
    expect(play.did()).not.toContain('release');
  });

  it('because the coins selected nobody: the same', () => {
    const play = new Play(poisson, []).collecting();
    expect(play.did()).toEqual(['save', 'dispatch', 'wake', 'save', 'finish']);
    expect(play.state.stage).toBe('finishing');
  });
});

describe('a stopped private round', () => {
  it('gives back what nothing can have left of', () => {
    const play = new Play().collecting().give(accept('t1-1')).give({ type: 'stop' });
    expect(play.did()).toEqual(expect.arrayContaining(['save', 'withdraw', 'release', 'end']));
  });

  it('keeps as spent what may be sealed already', () => {
    const play = new Play().collecting();
    for (const task of ['t1-1', 't2-1', 't3-1']) play.give(accept(task));
    expect(play.state.stage).toBe('finishing');
    expect(play.give({ type: 'stop' }).did()).not.toContain('release');
  });

  it('is not paid for again by an answer of the ledger that comes too late', () => {
    const play = new Play().give(online(1n, 2n, 3n)).give({ type: 'stop' });
    expect(play.give({ type: 'reserved', reservationId: 'r1' }).effects).toEqual([]);
  });
});

describe('a secret cohort', () => {
  it('is drawn by coins from all who are there, or as so many of them', () => {
    const drawOf = (sampling: PrivateSampling) =>
      new Play(sampling).give(online(1n, 2n, 3n)).effects.find((effect) => effect.do === 'draw');
    expect(drawOf(poisson)).toMatchObject({ from: [1n, 2n, 3n], draw: { rate: 0.5 } });
    expect(drawOf({ kind: 'fixed', size: 2, population: 3 })).toMatchObject({ draw: { size: 2 } });
    expect(drawOf({ kind: 'none' })).toMatchObject({ draw: { size: 3 } });
  });

  it('shows in no line who was asked, or how many', () => {
    const play = new Play(poisson).collecting();
    expect(play.give(fail('t1-1')).logs()).toEqual([]);
    expect(play.give(online(1n, 3n)).logs()).toEqual([]);
    play.give(accept('t3-1'));
    expect(phaseLine(play.state, [{ key: 'loss', value: real(1) }], 2)).toBe(
      'round 2/6: train by a secret cohort, 2.0 s',
    );
  });

  it('is no secret where sampling claims nothing for it', () => {
    expect(new Play().collecting().give(fail('t1-1')).logs()).toEqual(['round 2/6, train: node 1 failed: error 2']);
  });
});
