import { describe, expect, it } from 'vitest';
import type { Plan } from './plan.ts';
import type { NodeOutcome } from './round.ts';
import {
  begin,
  claim,
  endPhase,
  evaluationIsDue,
  fail,
  newRun,
  type PhaseReport,
  type RunRecord,
  stop,
  versionsOf,
} from './run.ts';
import { real } from './scalar.ts';

const plan = (rounds: number, every = 1, fraction = 1) =>
  ({ rounds, evaluate: { fraction, every }, initialModel: { from: 'model', modelId: 'm0' } }) as Plan;
const fresh = (more: Partial<RunRecord> = {}, thePlan = plan(2)): RunRecord => ({
  ...newRun(
    {
      runId: 1n,
      seriesId: 2n,
      app: { appId: 'a/b', version: '1', hash: 'h' },
      federation: '',
      overrides: [],
      plan: thePlan,
      modelId: 'm0',
      modelBytes: 7,
    },
    1000,
  ),
  ...more,
});
const node = (nodeId: bigint, state: NodeOutcome['state']): NodeOutcome => ({ nodeId, state, code: '', reason: '' });
const report = (more: Partial<PhaseReport> = {}): PhaseReport => ({
  outcome: 'completed',
  reason: '',
  nodes: [node(1n, 'accepted'), node(2n, 'refused'), node(3n, 'dropped'), node(4n, 'failed')],
  metrics: [{ key: 'loss', value: real(1) }],
  modelId: 'm1',
  modelBytes: 7,
  seconds: 2,
  bytesSent: 10,
  bytesReceived: 5,
  ...more,
});
const evaluation = report({ modelId: null, metrics: [{ key: 'accuracy', value: real(0.5) }], seconds: 1 });

describe('the life of a run', () => {
  it('is pending, then starting with its owner, then running', () => {
    const run = fresh();
    expect([run.state, run.phase]).toEqual(['pending', { kind: 'train', round: 1 }]);
    const claimed = claim(run, 7, 2000);
    expect(claimed).toMatchObject({
      state: 'starting',
      fence: 7,
      at: { pending: 1000, starting: 2000, running: null },
    });
    expect(begin(claimed, 3000)).toMatchObject({ state: 'running', at: { running: 3000 } });
  });
  it('keeps its state when another owner takes it over', () => {
    const running = begin(claim(fresh(), 7, 2000), 3000);
    expect(claim(running, 9, 5000)).toEqual({ ...running, fence: 9 });
    expect(begin(running, 9000)).toBe(running);
  });

  it('asks for the first model when there is none', () => {
    const run = fresh({ modelId: null, phase: { kind: 'initial-model', round: 0 } });
    expect(endPhase(run, report(), 1)).toMatchObject({
      modelId: 'm1',
      phase: { kind: 'train', round: 1 },
      history: [],
      round: 0,
    });
    expect(newRun({ ...run, modelId: null }, 0).phase).toEqual({ kind: 'initial-model', round: 0 });
  });

  it('goes through training and evaluation of every round to completed', () => {
    let run = fresh();
    run = endPhase(run, report(), 1);
    expect(run).toMatchObject({ phase: { kind: 'evaluate', round: 1 }, round: 0, modelId: 'm1' });
    expect(run.history).toEqual([
      {
        round: 1,
        cohort: 4,
        accepted: 1,
        refused: 1,
        dropped: 2,
        seconds: 2,
        modelId: 'm1',
        trainMetrics: [{ key: 'loss', value: real(1) }],
        evaluated: 0,
        evaluateMetrics: [],
        at: 1,
      },
    ]);
    run = endPhase(run, evaluation, 2);
    expect(run).toMatchObject({ phase: { kind: 'train', round: 2 }, round: 1, modelId: 'm1' });
    expect(run.history[0]).toMatchObject({
      seconds: 3,
      evaluated: 1,
      evaluateMetrics: [{ key: 'accuracy', value: real(0.5) }],
    });
    run = endPhase(run, report({ modelId: 'm2' }), 3);
    run = endPhase(run, evaluation, 4);
    expect(run).toMatchObject({
      state: 'finished',
      outcome: 'completed',
      phase: null,
      round: 2,
      modelId: 'm2',
      at: { finished: 4 },
    });
    expect([run.bytesSent, run.bytesReceived]).toEqual([40, 20]);
  });

  it('goes on after an evaluation that was left out', () => {
    const run = fresh({ phase: { kind: 'evaluate', round: 1 } });
    expect(endPhase(run, report({ outcome: 'skipped', modelId: null, nodes: [], metrics: [] }), 1)).toMatchObject({
      phase: { kind: 'train', round: 2 },
      round: 1,
    });
  });
  it('fails with the reason of its phase', () => {
    expect(endPhase(fresh(), report({ outcome: 'failed', reason: 'nobody came', modelId: null }), 5)).toMatchObject({
      state: 'finished',
      outcome: 'failed',
      details: 'nobody came',
      modelId: 'm0',
      phase: null,
    });
  });
  it('stops in the round it was in', () => {
    const stopped = endPhase(
      fresh({ phase: { kind: 'train', round: 2 } }),
      report({ outcome: 'stopped', modelId: null }),
      5,
    );
    expect(stopped).toMatchObject({ state: 'finished', outcome: 'stopped', details: 'Stopped in round 2 of 2.' });
  });
  it('does not change once it is finished', () => {
    const done = stop(fresh(), 5);
    expect(stop(done, 6)).toBe(done);
    expect(fail(done, 'x', 6)).toBe(done);
    expect(endPhase(done, report(), 6)).toBe(done);
  });
});

describe('the versions of a run', () => {
  it('tell round, cohort, metrics and what each model came from', () => {
    let run = endPhase(endPhase(fresh(), report(), 1), evaluation, 2);
    run = endPhase(run, report({ modelId: 'm2' }), 3);
    expect(
      versionsOf(run).map(({ round, modelId, parentId, cohort, createdAt, bytes }) => [
        round,
        modelId,
        parentId,
        cohort,
        createdAt,
        bytes,
      ]),
    ).toEqual([
      [1, 'm1', 'm0', 1, 1, 7],
      [2, 'm2', 'm1', 1, 3, 7],
    ]);
    expect(versionsOf(run)[0]?.metrics.map((metric) => metric.key)).toEqual(['loss', 'accuracy']);
  });
  it('begin with the model that a node gave', () => {
    const asked = { ...plan(2), initialModel: { from: 'node' } } as Plan;
    const run = fresh({ modelId: null, startModelId: null, phase: { kind: 'initial-model', round: 0 } }, asked);
    expect(versionsOf(run)).toEqual([]);
    expect(versionsOf(endPhase(run, report(), 1))).toMatchObject([
      { round: 0, modelId: 'm1', parentId: '', cohort: 1 },
    ]);
  });
});

describe('evaluation', () => {
  it.each([
    [plan(5), [1, 2, 3, 4, 5]],
    [plan(5, 2), [2, 4, 5]],
    [plan(3, 9), [3]],
    [plan(3, 1, 0), []],
  ])('is due where the plan says', (thePlan, rounds) => {
    expect(
      Array.from({ length: thePlan.rounds }, (_, i) => i + 1).filter((round) => evaluationIsDue(thePlan, round)),
    ).toEqual(rounds);
  });
});
