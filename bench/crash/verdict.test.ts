import { describe, expect, it } from 'vitest';
import { RESTART_MARK, type Reply, readReplies } from './evidence.ts';
import { knownWeight } from './known-update.ts';
import { digestOf, judge, type RoundOutcome } from './verdict.ts';

const NODES = 3;
const RUN = '7';

/** The round of a server that folded exactly these updates. */
function outcome(round: number, updates: { partition: number; attempt: number }[]): RoundOutcome {
  const identity = new Float32Array(2 * NODES);
  for (const { partition, attempt } of updates) {
    identity[partition] = (identity[partition] as number) + 1 / updates.length;
    const at = NODES + partition;
    identity[at] = (identity[at] as number) + (1_024 * round + attempt) / updates.length;
  }
  const weights = Float32Array.from({ length: 64 }, (_, index) => {
    const sum = updates.reduce((total, { partition }) => total + knownWeight(index, partition, round), 0);
    return sum / updates.length;
  });
  return { run: RUN, round, accepted: updates.length, model: new Map(Object.entries({ identity, weights })) };
}

const whole = [0, 1, 2].map((partition) => ({ partition, attempt: 1 }));
const undisturbed = new Map([[1, outcome(1, whole).model]]);
const reply = (attempt: number, acknowledged: boolean, more: Partial<Reply> = {}): Reply => ({
  run: RUN,
  round: 1,
  attempt,
  model: '',
  acknowledged,
  ...more,
});
const sentOnce = [[reply(1, true)], [reply(1, true)], [reply(1, true)]];

describe('the verdict on a run under kills', () => {
  it('is clean when every acknowledged update is in the model once', () => {
    const verdict = judge(sentOnce, [outcome(1, whole)], undisturbed);
    expect(verdict).toEqual({ acknowledged: 3, missing: [], twice: [], wrong: [], repeated: 0, partial: 0 });
  });

  it('names an acknowledged update that is not in the model', () => {
    const { missing, partial } = judge(sentOnce, [outcome(1, whole.slice(1))], undisturbed);
    expect(missing).toEqual(['run 7 round 1: attempt 1 of node 0']);
    expect(partial).toBe(1);
  });

  it('names an acknowledged update whose task was done again', () => {
    const again = [[reply(1, true), reply(2, true)], ...sentOnce.slice(1)];
    const redone = [{ partition: 0, attempt: 2 }, ...whole.slice(1)];
    expect(judge(again, [outcome(1, redone)], undisturbed).missing).toEqual([
      'run 7 round 1: attempt 1 of node 0; attempt 2 is in it instead',
    ]);
  });

  it('accepts the first answer when only its repetition could be acknowledged', () => {
    const again = [[reply(1, false), reply(2, true)], ...sentOnce.slice(1)];
    const verdict = judge(again, [outcome(1, whole)], undisturbed);
    expect(verdict).toMatchObject({ missing: [], twice: [], wrong: [], repeated: 1 });
  });

  it('names an update that was counted twice', () => {
    const { twice, wrong } = judge(sentOnce, [outcome(1, [...whole, { partition: 2, attempt: 1 }])], undisturbed);
    expect(twice).toEqual(['run 7 round 1: node 2 is in it 2 times']);
    expect(wrong).not.toEqual([]);
  });

  it('names a whole round that was counted twice, although its mean is the same', () => {
    const doubled = { ...outcome(1, whole), accepted: 6 };
    expect(judge(sentOnce, [doubled], undisturbed).twice).toEqual([
      'run 7 round 1: 3 updates are in it, 6 were accepted',
    ]);
  });

  it('names a model that the nodes got differently', () => {
    const first = outcome(1, whole);
    const good = reply(1, true, { round: 2, model: digestOf(first.model) });
    const bad = reply(1, true, { round: 2, model: 'other' });
    const nodes = [[...(sentOnce[0] ?? []), good], [...(sentOnce[1] ?? []), bad], sentOnce[2] ?? []];
    expect(judge(nodes, [first], undisturbed).wrong).toEqual([
      'run 7 round 1: node 1 was given another model for the round after',
    ]);
  });
});

describe("a node's log", () => {
  const executed = (round: number, attempt: number) =>
    `CRASH-APP ${JSON.stringify({ run: RUN, round, attempt, model: 'm' })}`;
  const sending = 'INFO : Sending: train message (ID: 1)';
  const sent = 'INFO : Sent successfully';
  const read = (...lines: string[]) =>
    readReplies(lines.join('\n')).map(({ round, attempt, acknowledged }) => [round, attempt, acknowledged]);

  it('says which executions were acknowledged', () => {
    const failed = 'ERROR : Failed to send message 1: gone';
    expect(read(executed(1, 1), sending, sent, executed(2, 1), sending, failed, executed(2, 2), sending, sent)).toEqual(
      [
        [1, 1, true],
        [2, 1, false],
        [2, 2, true],
      ],
    );
  });

  it('forgets what a node had not sent when it was started again', () => {
    expect(read(executed(1, 1), RESTART_MARK, executed(1, 2), sending, sent)).toEqual([
      [1, 1, false],
      [1, 2, true],
    ]);
  });

  it('does not take an error message of the SuperNode for the reply of an app that failed to hand it over', () => {
    const lost = 'ERROR : Failed to push task output: 401';
    expect(read(executed(1, 1), lost, sending, sent)).toEqual([[1, 1, false]]);
  });
});
