// The round machine under the rules of a masked run: terms before tasks, no fewer answers than may be summed, fresh keys for every attempt.
import { describe, expect, it } from 'vitest';
import { type Masking, MOST_ATTEMPTS, maskedRound } from './masking.ts';
import { openRound, type RoundEffect, type RoundInput, type RoundState } from './round.ts';
import { stepAll } from './round-step.ts';

const maskingOf = ({ round, attempt, kind, members }: RoundState): Masking => ({
  cohort: members.size,
  dropouts: 0.2,
  colluders: 0.1,
  plan: '00'.repeat(32),
  round: maskedRound(round, attempt, kind),
  degree: members.size - 1,
  threshold: 4,
  minSurvivors: members.size - 1,
  bits: 23,
  length: 10,
  grid: { clip: 8, ownClips: [], metrics: [], valueBits: 16, weightMax: 1, maxExamples: 0, normClip: 0 },
  stageSeconds: 30,
});

const opened = (kind: 'train' | 'evaluate' = 'train'): RoundState =>
  openRound(
    {
      runId: 1n,
      round: 2,
      rounds: 6,
      kind,
      modelId: 'm',
      rules: {
        sampling: { fraction: 1, minNodes: 5, minAvailable: 5, overSelect: 1 },
        minReport: null,
        deadlineSeconds: 60,
        tries: kind === 'train' ? 2 : 1,
        optional: kind === 'evaluate',
        masked: true,
      },
    },
    0,
  );

const online = new Set([1n, 2n, 3n, 4n, 5n]);
const task = (node: number, attempt = 1): string => `t${node}-${attempt}`;

class Play {
  state: RoundState;
  effects: RoundEffect[] = [];

  constructor(state = opened()) {
    this.state = state;
  }

  give(input: RoundInput, seconds = 0): this {
    const { state, effects } = stepAll(this.state, [input], seconds * 1000);
    this.state = state;
    this.effects = effects;
    return this;
  }

  draw(): this {
    this.give({ type: 'nodes', online });
    const { attempt } = this.state;
    const tasks = [...online].map((nodeId) => ({ nodeId, taskId: task(Number(nodeId), attempt) }));
    return this.give({ type: 'drawn', tasks, wanted: 5, traceparent: 'trace' });
  }

  begun(): this {
    this.draw().give({ type: 'masking', masking: maskingOf(this.state), without: [] });
    return this.give({ type: 'opened' });
  }

  answered(...nodes: number[]): this {
    for (const node of nodes) this.give({ type: 'accepted', taskId: task(node, this.state.attempt) });
    return this;
  }

  /** After a crash, on what was saved last. */
  resumed(saved: RoundState, ...recorded: number[]): this {
    this.state = saved;
    return this.give({ type: 'resumed', recorded: new Set(recorded.map((node) => task(node, saved.attempt))) });
  }

  get done(): string[] {
    return this.effects.map((effect) => effect.do);
  }
}

const failed = (node: number): RoundInput => ({
  type: 'failed',
  taskId: task(node),
  code: 'SECAGG_ROUND_OVER',
  reason: 'no advert came in time',
});

describe('a masked attempt', () => {
  it('computes terms, saves them, opens them, and only then asks anybody', () => {
    const play = new Play().draw();
    expect([play.state.stage, play.done]).toEqual(['opening', ['mask']]);
    play.give({ type: 'masking', masking: maskingOf(play.state), without: [] });
    expect([play.state.stage, play.done]).toEqual(['opening', ['save', 'open-masked']]);
    play.give({ type: 'opened' });
    expect([play.state.stage, play.done]).toEqual(['collecting', ['save', 'dispatch', 'await-sharing', 'wake']]);
  });

  it('asks none of those whom its terms do without', () => {
    const play = new Play().draw();
    play.give({ type: 'masking', masking: maskingOf(play.state), without: [task(2)] }).give({ type: 'opened' });
    const asked = play.effects.flatMap((effect) => (effect.do === 'dispatch' ? effect.tasks : []));
    expect(asked.map(({ nodeId }) => nodeId)).toEqual([1n, 3n, 4n, 5n]);
    play.answered(1, 3, 4, 5);
    expect(play.state.stage).toBe('finishing');
  });

  it('has terms that no other attempt or kind of the run has', () => {
    const seen = new Set<number>();
    for (const round of [1, 2, 3])
      for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1)
        for (const kind of ['train', 'evaluate']) seen.add(maskedRound(round, attempt, kind));
    expect(seen.size).toBe(3 * MOST_ATTEMPTS * 2);
  });

  it('closes when all have answered or failed, with no fewer than may be summed', () => {
    const play = new Play().begun().give(failed(5)).answered(1, 2, 3);
    expect(play.state.stage).toBe('collecting');
    play.answered(4);
    expect([play.state.stage, play.done]).toEqual(['finishing', ['withdraw', 'save', 'finish']]);
    play.give({ type: 'finished' });
    // its end is told once the model is in the run's record
    expect(play.done).toEqual(['end']);
  });

  it('does not wait for its deadline once too few can be left', () => {
    const play = new Play().begun().give(failed(5)).give(failed(4));
    expect(play.done).toContain('end-masked');
    expect([play.state.stage, play.state.attempt, play.state.masking]).toEqual(['selecting', 2, undefined]);
  });

  it('at its deadline goes on with those that answered, or begins anew', () => {
    expect(new Play().begun().answered(1, 2, 3, 4).give({ type: 'tick' }, 61).state.stage).toBe('finishing');
    const play = new Play().begun().answered(1, 2, 3).give({ type: 'tick' }, 61);
    expect([play.state.stage, play.state.attempt]).toEqual(['selecting', 2]);
    expect(play.done).toEqual(['miss', 'save', 'withdraw', 'log', 'end-masked', 'discard']);
  });

  it.each(['opening', 'collecting', 'finishing'] as const)('that opens nothing is given up, when %s', (stage) => {
    const play = new Play();
    if (stage === 'opening') play.draw();
    else play.begun();
    if (stage === 'finishing') play.answered(1, 2, 3, 4, 5);
    expect(play.state.stage).toBe(stage);
    play.give({ type: 'mask-failed', reason: 'too few', again: true });
    expect([play.state.stage, play.state.attempt, play.state.members.size]).toEqual(['selecting', 2, 0]);
    expect(play.done.includes('end-masked')).toBe(stage !== 'opening');
    play.begun().give({ type: 'mask-failed', reason: 'too few', again: true });
    expect(play.state.ended).toEqual({
      end: 'failed',
      reason: 'round 2/6, train got no further: too few, after 2 tries',
    });
    expect(play.done).toEqual(['save', 'withdraw', 'end-masked', 'end']);
  });

  it('that no cohort of the size can have ends at once', () => {
    const play = new Play().draw().give({ type: 'mask-failed', reason: '2·3 > 2 + 1', again: false });
    expect(play.state.ended?.end).toBe('failed');
  });

  it('of an evaluation is left out', () => {
    const play = new Play(opened('evaluate')).begun().give({ type: 'mask-failed', reason: 'too few', again: true });
    expect(play.state.ended?.end).toBe('skipped');
  });

  it('is ended with its run', () => {
    expect(new Play().begun().give({ type: 'stop' }).done).toEqual(['save', 'withdraw', 'end-masked', 'end']);
  });
});

describe('after a crash', () => {
  it('the terms that were saved are opened again, and tasks follow', () => {
    const play = new Play().draw();
    play.give({ type: 'masking', masking: maskingOf(play.state), without: [] });
    const saved = play.state;
    expect(new Play().resumed(saved).done).toEqual(['open-masked']);
    expect(new Play().resumed(saved).give({ type: 'opened' }).state.stage).toBe('collecting');
  });

  it('who shares is followed again, and answers that are recorded count', () => {
    const play = new Play().begun().give(failed(5));
    const again = new Play().resumed(play.state, 1, 2, 3, 4);
    expect(again.done).toEqual(['await-sharing', 'withdraw', 'wake', 'save', 'finish']);
    expect(again.state.stage).toBe('finishing');
  });

  it('a stop that was saved and not heard asks nobody', () => {
    const play = new Play().draw();
    play.give({ type: 'masking', masking: maskingOf(play.state), without: [] }).give({ type: 'stop' });
    const saved: RoundState = { ...play.state, stage: 'opening', ended: null };
    const again = new Play().resumed(saved).give({ type: 'opened' });
    expect(again.effects).toContainEqual({ do: 'dispatch', tasks: [] });
    expect([again.state.stage, again.state.attempt]).toEqual(['selecting', 2]);
  });
});

describe('random lists', () => {
  /** A small generator: repeatable, and good enough to mix inputs. */
  function* numbers(seed: number): Generator<number> {
    for (let x = seed; ; ) {
      x = (x * 1103515245 + 12345) % 2 ** 31;
      yield x;
    }
  }

  it('never ask before terms are saved, never sum too few, and end what they opened', () => {
    for (let seed = 1; seed <= 2_000; seed += 1) {
      const random = numbers(seed);
      const below = (n: number): number => ((random.next().value as number) >> 8) % n;
      const play = new Play();
      let saved: Masking | undefined;
      const open = new Set<number>();
      for (let i = 0; i < 40 && play.state.stage !== 'ended'; i += 1) {
        const { attempt, stage } = play.state;
        const taskId = task(below(5) + 1, attempt);
        const tasks = [...online].map((nodeId) => ({ nodeId, taskId: task(Number(nodeId), attempt) }));
        const inputs: RoundInput[] = [
          { type: 'drawn', tasks, wanted: 5, traceparent: '' },
          { type: 'masking', masking: maskingOf(play.state), without: [] },
          { type: 'opened' },
          { type: 'accepted', taskId },
          { type: 'accepted', taskId },
          { type: 'recording', taskId },
          { type: 'not-recorded', taskId },
          { type: 'refused', taskId, code: 'X', reason: 'x' },
          failed(below(5) + 1),
          { type: 'mask-failed', reason: 'x', again: true },
          { type: 'tick' },
          { type: 'nodes', online: new Set([...online].slice(below(2))) },
          { type: 'resumed', recorded: new Set(tasks.slice(below(6)).map((one) => one.taskId)) },
        ];
        const input = inputs[below(inputs.length)] as RoundInput;
        if (input.type === 'masking' && stage !== 'opening') continue;
        play.give(input, i * 3);
        for (const effect of play.effects) {
          if (effect.do === 'save') saved = play.state.masking ?? saved;
          if (effect.do === 'open-masked') open.add(play.state.masking?.round ?? 0);
          if (effect.do === 'end-masked') open.delete(effect.masking.round);
          if (effect.do === 'dispatch') expect(saved, `${seed}`).toEqual(play.state.masking ?? saved);
          if (effect.do === 'finish') {
            const counted = [...play.state.members.values()].filter((member) => member.state === 'accepted');
            expect(counted.length, `${seed}`).toBeGreaterThanOrEqual(play.state.masking?.minSurvivors ?? 99);
          }
        }
      }
      const current = play.state.masking?.round;
      expect(
        [...open].filter((round) => round !== current || play.state.stage === 'ended'),
        `${seed}`,
      ).toEqual([]);
    }
  });
});

describe('a round that is masked and private', () => {
  const isPrivate = (): Play => {
    const state = opened();
    const privacy = { sampling: { kind: 'none' as const }, clip: 1, noiseMultiplier: 1, adapts: false };
    const rules = { ...state.rules, privacy: { ...privacy, weightMax: null, denominator: null } };
    return new Play({ ...state, rules });
  };
  const did = ({ effects }: Play): string[] => effects.map((effect) => effect.do).filter((name) => name !== 'wake');
  const withTerms = (play: Play): Play =>
    play.draw().give({ type: 'masking', masking: maskingOf(play.state), without: [] });
  const collecting = (): Play =>
    withTerms(isPrivate()).give({ type: 'reserved', reservationId: 'r1' }).give({ type: 'opened' });

  it('has terms, pays for them, opens, and only then asks', () => {
    const play = withTerms(isPrivate());
    expect([play.state.stage, did(play)]).toEqual(['reserving', ['save', 'reserve']]);
    play.give({ type: 'opened' });
    expect([play.state.stage, did(play)]).toEqual(['reserving', []]);
    play.give({ type: 'reserved', reservationId: 'r1' });
    expect([play.state.stage, did(play)]).toEqual(['opening', ['save', 'open-masked']]);
    play.give({ type: 'opened' });
    expect([play.state.stage, did(play)]).toEqual(['collecting', ['save', 'dispatch', 'await-sharing']]);
  });

  it('takes each step again after a crash', () => {
    const reserving = withTerms(isPrivate());
    expect(did(new Play().resumed(reserving.state))).toEqual(['reserve']);
    const opening = reserving.give({ type: 'reserved', reservationId: 'r1' });
    expect(did(new Play().resumed(opening.state))).toEqual(['open-masked']);
  });

  it('ends what it has terms for where the ledger does not cover it', () => {
    const play = withTerms(isPrivate()).give({ type: 'not-reserved', reason: 'nothing is left' });
    expect(did(play)).toEqual(['save', 'withdraw', 'end-masked', 'end']);
    expect(play.state.ended).toEqual({ end: 'failed', reason: 'nothing is left' });
  });

  it('gives back what was reserved until it closes, and nothing from then on', () => {
    const early = collecting().give({ type: 'mask-failed', reason: 'too few', again: true });
    expect(did(early)).toContain('release');
    const late = collecting().answered(1, 2, 3, 4, 5);
    expect([late.state.stage, did(late)]).toEqual(['finishing', ['withdraw', 'save', 'finish']]);
    expect(did(late.give({ type: 'mask-failed', reason: 'no sum', again: true }))).not.toContain('release');
    // another owner may have opened it before the crash
    const closed: RoundState = { ...collecting().state, stage: 'closing', closedAt: 1_000 };
    const again = new Play().resumed(closed, 1, 2);
    expect(again.state.stage).toBe('selecting');
    expect(did(again)).not.toContain('release');
  });

  it('never sums fewer than its terms say, also at its deadline', () => {
    const few = collecting().answered(1, 2, 3).give({ type: 'tick' }, 61);
    expect([few.state.stage, few.state.attempt]).toEqual(['selecting', 2]);
    expect(did(few)).toContain('release');
    expect(collecting().answered(1, 2, 3, 4).give({ type: 'tick' }, 61).state.stage).toBe('finishing');
  });
});
