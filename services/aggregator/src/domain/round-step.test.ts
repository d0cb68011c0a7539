import { describe, expect, it } from 'vitest';
import {
  type Member,
  openRound,
  type RoundEffect,
  type RoundInput,
  type RoundRules,
  type RoundState,
} from './round.ts';
import { phaseLine } from './round-report.ts';
import { step, stepAll } from './round-step.ts';
import { real } from './scalar.ts';

const rules = (more: Partial<RoundRules> = {}): RoundRules => ({
  sampling: { fraction: 1, minNodes: 2, minAvailable: 2, overSelect: 1 },
  minReport: null,
  deadlineSeconds: 60,
  tries: 2,
  optional: false,
  ...more,
});
const open = (more: Partial<RoundRules> = {}, kind: RoundState['kind'] = 'train') =>
  openRound({ runId: 1n, round: 2, rounds: 6, kind, modelId: 'm', rules: rules(more) }, 0);

/** Plays inputs as a flow would, drawing the first nodes offered; tasks are named after their node. */
class Play {
  state: RoundState;
  now = 0;
  effects: RoundEffect[] = [];

  constructor(state: RoundState) {
    this.state = state;
  }

  give(...inputs: RoundInput[]): this {
    this.effects = [];
    for (let pending = inputs; pending.length > 0; ) {
      const next = stepAll(this.state, pending, this.now);
      this.state = next.state;
      this.effects.push(...next.effects);
      pending = next.effects.flatMap((effect) =>
        effect.do !== 'draw'
          ? []
          : [
              {
                type: 'drawn' as const,
                tasks: effect.from
                  .slice(0, 'size' in effect.draw ? effect.draw.size : 0)
                  .map((nodeId) => ({ nodeId, taskId: `t${nodeId}-${this.state.attempt}` })),
                wanted: effect.wanted,
                traceparent: 'trace',
              },
            ],
      );
    }
    return this;
  }

  at(seconds: number): this {
    this.now = seconds * 1000;
    return this.give({ type: 'tick' });
  }

  did(): string[] {
    return this.effects.map((effect) => effect.do);
  }

  effect<D extends RoundEffect['do']>(name: D): (RoundEffect & { do: D }) | undefined {
    return this.effects.find((effect): effect is RoundEffect & { do: D } => effect.do === name);
  }

  states(): Record<string, string> {
    return Object.fromEntries([...this.state.members.values()].map((member) => [String(member.nodeId), member.state]));
  }
}

const online = (...nodes: bigint[]): RoundInput => ({ type: 'nodes', online: new Set(nodes) });
const accept = (task: string): RoundInput => ({ type: 'accepted', taskId: task });
const record = (task: string): RoundInput => ({ type: 'recording', taskId: task });
const refuse = (task: string): RoundInput => ({
  type: 'refused',
  taskId: task,
  code: 'UPDATE_NOT_FINITE',
  reason: 'NaN in w',
});
const failed = (task: string): RoundInput => ({ type: 'failed', taskId: task, code: '2', reason: 'it raised' });
const collecting = (
  nodes: bigint[] = [1n, 2n, 3n],
  more: Partial<RoundRules> = {},
  kind: RoundState['kind'] = 'train',
) => new Play(open(more, kind)).give(online(...nodes));
const names = (members: readonly Member[] | undefined) => members?.map((member) => member.taskId);

describe('selecting', () => {
  it('waits until enough nodes are online, and says so once', () => {
    const play = new Play(open()).give(online(1n));
    expect(play.effects).toEqual([{ do: 'log', line: 'round 2/6, train: waiting for nodes: 1 online, 2 needed' }]);
    expect(play.give(online(1n)).effects).toEqual([]);
    expect(play.state.stage).toBe('selecting');
  });

  it('draws as soon as they are, saves, and only then dispatches', () => {
    const play = new Play(open()).give(online(2n, 1n));
    expect(play.did()).toEqual(['draw', 'save', 'dispatch', 'wake']);
    expect(play.effect('draw')).toMatchObject({ from: [1n, 2n], draw: { size: 2 }, wanted: 2 });
    expect(play.effect('wake')).toEqual({ do: 'wake', at: 60_000 });
    expect(play.state).toMatchObject({ stage: 'collecting', traceparent: 'trace', dispatchedAt: 0 });
  });

  it('ignores a second draw', () => {
    const play = collecting([1n, 2n]);
    const before = play.state;
    play.give({ type: 'drawn', tasks: [{ nodeId: 9n, taskId: 't9' }], wanted: 1, traceparent: '' });
    expect(play.state).toEqual(before);
  });

  it('asks more nodes than wanted when told so', () => {
    const play = collecting([1n, 2n, 3n, 4n], {
      sampling: { fraction: 0.5, minNodes: 2, minAvailable: 2, overSelect: 1.5 },
    });
    expect(play.state.members.size).toBe(3);
    expect(play.state.wanted).toBe(2);
  });

  it('waits for ever to train, but leaves an evaluation out at its deadline', () => {
    const train = new Play(open()).give(online(1n)).at(1e6);
    expect(train.state.stage).toBe('selecting');
    const evaluate = new Play(open({ optional: true }, 'evaluate')).give(online(1n));
    expect(evaluate.did()).toEqual(['log', 'wake']);
    evaluate.at(60);
    expect(evaluate.effect('end')).toEqual({ do: 'end', end: 'skipped', reason: 'fewer than 2 nodes came online' });
  });

  it('leaves an evaluation out that would select nobody', () => {
    const play = new Play(
      open({ optional: true, sampling: { fraction: 0.1, minNodes: 0, minAvailable: 2, overSelect: 1 } }, 'evaluate'),
    ).give(online(1n, 2n));
    expect(play.effect('end')).toMatchObject({ end: 'skipped' });
  });
});

describe('collecting', () => {
  it('waits for every selected node, then closes and finishes', () => {
    const play = collecting();
    expect(play.give(accept('t1-1'), accept('t2-1')).did()).toEqual(['withdraw', 'withdraw']);
    play.give(accept('t3-1'));
    expect(play.did()).toEqual(['withdraw', 'save', 'finish']);
    expect(play.state.stage).toBe('finishing');
    expect(play.give({ type: 'finished' }).effects).toEqual([{ do: 'end', end: 'completed', reason: '' }]);
  });

  it('does not save an acceptance: the log has it', () =>
    expect(collecting().give(accept('t1-1')).did()).not.toContain('save'));

  it('counts an answer once', () => {
    const play = collecting().give(accept('t1-1'), accept('t1-1'), accept('t1-1'));
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'waiting', 3: 'waiting' });
    expect(play.state.stage).toBe('collecting');
  });

  it.each([
    ['refused', refuse('t2-1'), 'NaN in w'],
    ['failed', failed('t2-1'), 'it raised'],
  ])('drops a node that was %s with its reason, saved before its task is withdrawn', (state, input, reason) => {
    const play = collecting().give(input);
    expect(play.did()).toEqual(['save', 'withdraw', 'log']);
    expect(play.state.members.get('t2-1')).toMatchObject({ state, reason });
    play.give(accept('t1-1'), accept('t3-1'));
    expect(play.state.stage).toBe('finishing');
  });

  it('does not let a settled node change its mind', () => {
    const play = collecting().give(refuse('t1-1')).give(accept('t1-1'), failed('t1-1'), refuse('t1-1'));
    expect(play.states()).toMatchObject({ 1: 'refused' });
    expect(play.did()).toEqual([]);
  });

  it('drops a node that went offline, and closes at once when nobody else is awaited', () => {
    const play = collecting().give(accept('t1-1'), accept('t2-1')).give(online(1n, 2n));
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'accepted', 3: 'dropped' });
    expect(play.did()).toEqual(['save', 'withdraw', 'log', 'save', 'finish']);
  });

  it('drops many at once with one save', () => {
    const play = collecting([1n, 2n, 3n, 4n]).give(online(1n, 2n));
    expect(play.did()).toEqual(['save', 'withdraw', 'log']);
    expect(play.effect('log')?.line).toContain('2 nodes dropped');
  });

  it('keeps an answer that is being written when its node goes offline', () => {
    const play = collecting([1n, 2n]).give(record('t1-1')).give(online(2n));
    expect(play.states()).toEqual({ 1: 'recording', 2: 'waiting' });
  });

  it('does not mind nodes that join meanwhile', () => {
    const play = collecting([1n, 2n]).give(online(1n, 2n, 3n, 4n));
    expect(play.effects).toEqual([]);
    expect(play.state.members.size).toBe(2);
  });

  it('lets a node try again whose answer could not be written', () => {
    const play = collecting().give(record('t1-1')).give({ type: 'not-recorded', taskId: 't1-1' });
    expect(play.states()).toMatchObject({ 1: 'waiting' });
    play.give(accept('t1-1'), accept('t2-1'), accept('t3-1'));
    expect(play.state.stage).toBe('finishing');
  });

  it('knows nothing of tasks of others', () => {
    const play = collecting();
    const before = play.state;
    expect(play.give(accept('x'), refuse('x'), failed('x'), record('x')).effects).toEqual([]);
    expect(play.state).toEqual(before);
  });
});

describe('closing early', () => {
  it('happens at min-report, and drops who is still at work', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 2 }).give(accept('t1-1')).give(accept('t3-1'));
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'dropped', 3: 'accepted' });
    expect(play.state.members.get('t2-1')?.reason).toBe('enough nodes had answered');
    expect(play.did()).toEqual(['withdraw', 'save', 'withdraw', 'finish']);
  });

  it('happens at the number wanted when more were asked', () => {
    const play = collecting([1n, 2n, 3n, 4n], {
      sampling: { fraction: 0.5, minNodes: 2, minAvailable: 2, overSelect: 2 },
    });
    play.give(accept('t4-1'), accept('t1-1'));
    expect(play.state.stage).toBe('finishing');
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'dropped', 3: 'dropped', 4: 'accepted' });
  });

  it('waits for an answer that is being written, and counts it', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 2 }).give(record('t2-1')).give(accept('t1-1'), accept('t3-1'));
    expect(play.state.stage).toBe('closing');
    expect(play.did()).not.toContain('finish');
    expect(play.give(accept('t2-1')).did()).toEqual(['withdraw', 'finish']);
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'accepted', 3: 'accepted' });
  });

  it('goes on without it when it could not be written', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 2 }).give(record('t2-1')).give(accept('t1-1'), accept('t3-1'));
    expect(play.give({ type: 'not-recorded', taskId: 't2-1' }).did()).toEqual(['finish']);
    expect(play.states()).toMatchObject({ 2: 'dropped' });
  });

  it('takes no new answer', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 1 }).give(accept('t1-1')).give(accept('t2-1'), record('t3-1'));
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'dropped', 3: 'dropped' });
  });
});

describe('the deadline', () => {
  it('closes with what is there', () => {
    const play = collecting().give(accept('t2-1'), accept('t3-1')).at(60);
    expect(play.did()).toEqual(['miss', 'save', 'withdraw', 'finish']);
    expect(play.state.members.get('t1-1')).toMatchObject({ state: 'dropped', reason: 'no answer within 60 s' });
  });

  it('is not enough with fewer answers than nodes to train with, unless fewer were selected or it only evaluates', () => {
    const atDeadline = (...play: Parameters<typeof collecting>) =>
      collecting(...play)
        .give(accept('t1-1'))
        .at(60).state.stage;
    const sampling = { fraction: 1, minNodes: 2, minAvailable: 2, overSelect: 1 };
    expect(atDeadline()).toBe('selecting');
    expect(atDeadline([1n, 2n, 3n], { sampling: { ...sampling, minNodes: 0 } })).toBe('finishing');
    expect(atDeadline([1n, 2n, 3n], { minReport: 1 })).toBe('finishing');
    expect(atDeadline([1n, 2n, 3n], { optional: true }, 'evaluate')).toBe('finishing');
  });

  it('names who let it pass, and does not select them again before they show themselves', () => {
    const play = collecting([1n, 2n, 3n, 4n]).give(accept('t1-1'), failed('t2-1')).at(60);
    expect(play.effect('miss')?.nodes).toEqual([3n, 4n]);
    const all = new Set([1n, 2n, 3n, 4n]);
    const sampling = { fraction: 1, minNodes: 3, minAvailable: 3, overSelect: 1 };
    const next = new Play(open({ sampling }));
    next.give({ type: 'nodes', online: all, overdue: new Set([3n, 4n]) });
    expect(next.effects).toEqual([
      {
        do: 'log',
        line: 'round 2/6, train: waiting for nodes: 2 online (and 2 that did not answer their last task), 3 needed',
      },
    ]);
    next.give({ type: 'nodes', online: all, overdue: new Set([4n]) });
    expect(next.effect('draw')?.from).toEqual([1n, 2n, 3n]);
    expect(next.give({ type: 'nodes', online: all, overdue: all }).effects).toEqual([]);
  });

  it('says how many of those who are online cannot mask', () => {
    const sampling = { fraction: 1, minNodes: 3, minAvailable: 3, overSelect: 1 };
    const play = new Play(open({ sampling })).give({ type: 'nodes', online: new Set([1n, 2n]), unmasked: 1 });
    expect(play.effects).toMatchObject([{ line: expect.stringContaining('2 online (and 1 that cannot mask: ') }]);
  });

  it('is not over before its time, and is looked at again', () => {
    const play = collecting().give(accept('t2-1')).at(59);
    expect(play.effects).toEqual([{ do: 'wake', at: 60_000 }]);
  });

  it('counts from the dispatch, not from the opening', () => {
    const play = new Play(open()).give(online(1n));
    play.now = 500_000;
    play.give(online(1n, 2n));
    expect(play.effect('wake')?.at).toBe(560_000);
  });

  it('tries a new cohort when nobody answered, then fails with the reason', () => {
    const play = collecting().at(60);
    expect(play.did()).toEqual(['miss', 'save', 'withdraw', 'log', 'discard']);
    expect(names(play.effect('withdraw')?.tasks)).toEqual(['t1-1', 't2-1', 't3-1']);
    expect(play.state).toMatchObject({ stage: 'selecting', attempt: 2, openedAt: 60_000 });
    expect(play.state.members.size).toBe(0);
    play.give(online(1n, 2n, 3n));
    expect(names(play.effect('dispatch')?.tasks)).toEqual(['t1-2', 't2-2', 't3-2']);
    play.at(120);
    expect(play.effect('end')).toEqual({
      do: 'end',
      end: 'failed',
      reason: 'round 2/6, train got no further: 0 of the 2 answers needed came within 60 s, after 2 tries',
    });
  });

  it('is not enough with fewer answers than min-report', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 2 }).give(accept('t1-1')).at(60);
    expect(play.state).toMatchObject({ stage: 'selecting', attempt: 2 });
  });

  it('counts an answer that is being written', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 2 }).give(accept('t1-1'), record('t2-1')).at(60);
    expect(play.state.stage).toBe('closing');
    expect(play.give(accept('t2-1')).did()).toContain('finish');
  });

  it('tries again when the answer that was being written makes it too few', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 2 }).give(accept('t1-1'), record('t2-1')).at(60);
    play.give({ type: 'not-recorded', taskId: 't2-1' });
    expect(play.state).toMatchObject({ stage: 'selecting', attempt: 2 });
  });
});

describe('a cohort that fails', () => {
  it('is tried again at once when all fail, and names the reasons in the end', () => {
    const play = collecting([1n, 2n, 3n]).give(failed('t1-1')).give(refuse('t2-1'));
    expect(play.state).toMatchObject({ stage: 'selecting', attempt: 2 });
    play.give(online(1n, 2n, 3n)).give(failed('t1-2'), failed('t2-2'));
    expect(play.effect('end')).toMatchObject({
      end: 'failed',
      reason: expect.stringContaining('0 of 3 nodes answered, 2 needed (2 × it raised), after 2 tries'),
    });
  });

  it('is given up early when min-report can no longer be reached', () => {
    const play = collecting([1n, 2n, 3n], { minReport: 3 }).give(failed('t1-1'));
    expect(play.state.attempt).toBe(2);
  });

  it('leaves an evaluation out', () => {
    const play = collecting([1n, 2n], { tries: 1, optional: true }, 'evaluate').give(failed('t1-1'), failed('t2-1'));
    expect(play.effect('end')).toMatchObject({ end: 'skipped' });
  });

  it('is saved before its tasks are withdrawn', () => {
    const did = collecting([1n, 2n]).at(60).did();
    expect(did.indexOf('save')).toBeLessThan(did.indexOf('withdraw'));
  });
});

describe('stopping', () => {
  it.each<[string, Play]>([
    ['selecting', new Play(open())],
    ['collecting', collecting()],
    ['finishing', collecting([1n, 2n]).give(accept('t1-1'), accept('t2-1'))],
  ])('ends the round while it is %s', (_stage, play) => {
    play.give({ type: 'stop' });
    expect(play.effect('end')).toEqual({ do: 'end', end: 'stopped', reason: '' });
    expect(play.state.stage).toBe('ended');
  });

  it('withdraws what is open', () => {
    const play = collecting().give(accept('t1-1')).give({ type: 'stop' });
    expect(names(play.effect('withdraw')?.tasks)).toEqual(['t2-1', 't3-1']);
  });

  it('is the last word', () => {
    const play = collecting().give({ type: 'stop' });
    const before = play.state;
    play.give(accept('t1-1'), online(), { type: 'tick' }, { type: 'finished' }, { type: 'stop' });
    expect(play.effects).toEqual([]);
    expect(play.state).toEqual(before);
  });
});

describe('finishing', () => {
  const finishing = () => collecting([1n, 2n]).give(accept('t1-1'), accept('t2-1'));

  it('fails with the reason', () => {
    expect(finishing().give({ type: 'finish-failed', reason: 'a cosmic ray' }).effects).toEqual([
      { do: 'end', end: 'failed', reason: 'a cosmic ray' },
    ]);
  });
  it('cannot end what has not begun', () => expect(collecting().give({ type: 'finished' }).effects).toEqual([]));
  it('does not care about nodes any more', () => expect(finishing().give(online()).effects).toEqual([]));
});

describe('resuming after a restart', () => {
  const saved = (play: Play): Play => {
    const again = new Play(play.state);
    again.now = play.now;
    return again;
  };
  const resume = (play: Play, ...recorded: string[]) =>
    saved(play).give({ type: 'resumed', recorded: new Set(recorded) });

  it('publishes open tasks again and withdraws settled ones', () => {
    const play = resume(collecting().give(refuse('t2-1')), 't1-1');
    expect(play.states()).toEqual({ 1: 'accepted', 2: 'refused', 3: 'waiting' });
    expect(names(play.effect('dispatch')?.tasks)).toEqual(['t3-1']);
    expect(names(play.effect('withdraw')?.tasks)).toEqual(['t1-1', 't2-1']);
    expect(play.effect('wake')?.at).toBe(60_000);
  });

  it('lets a node try again whose answer was being written', () => {
    expect(resume(collecting().give(record('t1-1'))).states()).toMatchObject({ 1: 'waiting' });
  });

  it('closes at once when the log already has enough', () => {
    const play = resume(collecting([1n, 2n, 3n], { minReport: 2 }), 't1-1', 't3-1');
    expect(play.did()).toContain('finish');
    expect(play.states()).toMatchObject({ 2: 'dropped' });
  });

  it('finishes again what was closing, with exactly what the log has', () => {
    const before = collecting([1n, 2n, 3n], { minReport: 2 }).give(record('t2-1')).give(accept('t1-1'), accept('t3-1'));
    expect(before.state.stage).toBe('closing');
    expect(resume(before, 't1-1', 't3-1').states()).toEqual({ 1: 'accepted', 2: 'dropped', 3: 'accepted' });
    expect(resume(before, 't1-1', 't2-1', 't3-1').states()).toEqual({ 1: 'accepted', 2: 'accepted', 3: 'accepted' });
    expect(resume(before, 't1-1', 't3-1').did()).toContain('finish');
  });

  it('finishes again what was finishing', () => {
    const play = resume(collecting([1n, 2n]).give(accept('t1-1'), accept('t2-1')), 't1-1', 't2-1');
    expect(play.did()).toEqual(['withdraw', 'finish']);
    expect(play.give({ type: 'finished' }).effect('end')?.end).toBe('completed');
  });

  it('closes when the deadline passed meanwhile', () => {
    const play = resume(collecting(), 't1-1', 't2-1').at(100);
    expect(play.did()).toContain('finish');
  });

  it('goes on selecting', () => expect(resume(new Play(open())).state.stage).toBe('selecting'));
});

describe('a thousand answers', () => {
  it('in one go are the same as one by one', () => {
    const nodes = Array.from({ length: 1000 }, (_, i) => BigInt(i + 1));
    const start = collecting(nodes).state;
    const inputs = nodes.map((node) => accept(`t${node}-1`));
    const together = stepAll(start, inputs, 5);
    let one = start;
    for (const input of inputs) one = step(one, input, 5).state;
    expect(together.state).toEqual(one);
    expect(together.state.stage).toBe('finishing');
  });
});

describe('the line of a phase', () => {
  it('names who was left out, and what was measured', () => {
    const sampling = { fraction: 1, minNodes: 1, minAvailable: 2, overSelect: 1 };
    const play = collecting([1n, 2n, 3n], { sampling }).give(refuse('t2-1')).give(accept('t1-1')).at(60);
    expect(phaseLine(play.state, [{ key: 'loss', value: real(0.412345) }], 12.34)).toBe(
      'round 2/6: train 3 nodes, 1 accepted, 1 refused (node 2: NaN in w), 1 dropped (node 3: no answer within 60 s), 12.3 s; loss 0.4123',
    );
  });
});
