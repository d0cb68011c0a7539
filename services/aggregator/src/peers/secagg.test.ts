// The secagg service's Rounds as the aggregator calls them, and the terms in a node's task: the same on both ways.
import { Task as WireTask } from '@aegis/contracts/aegis/events/v1/task';
import {
  AwaitSharingRequest,
  EndRequest,
  OpenRequest,
  RoundsService,
  UnmaskRequest,
} from '@aegis/contracts/aegis/secagg/v1/secagg';
import { AegisError } from '@aegis/errors';
import { inProcessChannel, noTelemetry, serviceOf, silentLogger } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import type { Masking } from '../domain/masking.ts';
import type { MaskedAttempt, Task } from './contract.ts';
import { encodeTask } from './nats/task-encoding.ts';
import { secaggPeer } from './secagg.ts';

const masking: Masking = {
  cohort: 5,
  dropouts: 0.2,
  colluders: 0.1,
  plan: 'ab'.repeat(32),
  round: 261,
  degree: 4,
  threshold: 4,
  minSurvivors: 4,
  bits: 62,
  length: 2 ** 40,
  grid: {
    clip: 8,
    ownClips: [{ tensor: 'n', clip: 100 }],
    metrics: [{ name: 'loss', low: 0, high: 10 }],
    valueBits: 16,
    weightMax: 2 ** 32,
    maxExamples: 2 ** 33,
    normClip: 0,
    noiseSigma: 0,
  },
  stageSeconds: 30,
};
const wire = {
  cohort: 5,
  dropouts: 0.2,
  colluders: 0.1,
  plan: Buffer.from('ab'.repeat(32), 'hex'),
  round: 261n,
  degree: 4,
  threshold: 4,
  minSurvivors: 4,
  bits: 62,
  length: 2n ** 40n,
  grid: {
    clip: 8,
    ownClips: { n: 100 },
    metrics: [{ name: 'loss', low: 0, high: 10 }],
    valueBits: 16,
    weightMax: 2n ** 32n,
    maxExamples: 2 ** 33,
    normClip: 0,
    noiseSigma: 0,
  },
  stageSeconds: 30,
};
const ref = { runId: 2n ** 64n - 1n, round: 261 };
const attempt: MaskedAttempt = {
  ...ref,
  masking,
  cohort: [{ taskId: 'T', nodeId: 2n ** 63n }],
  modelId: 'm',
  traceparent: 'trace',
};
const { signal } = new AbortController();

describe('the secagg service', () => {
  const heard: unknown[] = [];
  let holds = true;
  const rounds = serviceOf(RoundsService, {
    open: async (request) => {
      heard.push(OpenRequest.decode(OpenRequest.encode(request).finish()));
      return {};
    },
    awaitSharing: async (request) => {
      heard.push(AwaitSharingRequest.decode(AwaitSharingRequest.encode(request).finish()));
      const nothing = { participants: [], excluded: [], nothingYet: true };
      if (holds) return nothing;
      return { participants: [1n, 3n], excluded: [{ nodeId: 2n, reason: 'NOT_SHARED' }], nothingYet: false };
    },
    unmask: async function* (request) {
      heard.push(UnmaskRequest.decode(UnmaskRequest.encode(request).finish()));
      if (request.survivors.length < 2) throw new AegisError('SECAGG_TOO_FEW', 'one is left');
      const empty = Buffer.alloc(0);
      yield { confirmed: [1n, 3n], opened: [3n], content: empty };
      for (const content of ['mas', 'k', '']) yield { confirmed: [], opened: [], content: Buffer.from(content) };
    },
    end: async (request) => {
      heard.push(EndRequest.decode(EndRequest.encode(request).finish()));
      return {};
    },
  });
  const secagg = secaggPeer(inProcessChannel([rounds], { log: silentLogger, telemetry: noTelemetry }));
  const round = { runId: 2n ** 64n - 1n, round: 261n };

  it('is told the attempt whole', async () => {
    await secagg.open(attempt, signal);
    expect(heard.pop()).toEqual({
      round,
      masking: wire,
      cohort: [{ taskId: 'T', nodeId: 2n ** 63n }],
      modelId: 'm',
      traceparent: 'trace',
    });
  });

  it('says who shared, or nothing yet', async () => {
    expect(await secagg.awaitSharing(ref, signal)).toBeNull();
    holds = false;
    expect(await secagg.awaitSharing(ref, signal)).toEqual({
      participants: [1n, 3n],
      excluded: [{ nodeId: 2n, reason: 'NOT_SHARED' }],
    });
    expect(heard.pop()).toEqual({ round });
  });

  it('gives the mask in pieces, and who helped', async () => {
    const total = await secagg.unmask(ref, [1n, 3n], signal);
    expect(total).toEqual({ confirmed: [1n, 3n], opened: [3n], mask: Buffer.from('mask') });
    expect(heard.pop()).toEqual({ round, survivors: [1n, 3n] });
    await expect(secagg.unmask(ref, [1n], signal)).rejects.toMatchObject({ code: 'SECAGG_TOO_FEW' });
    await secagg.end(ref, 'over');
    expect(heard.pop()).toEqual({ round, reason: 'over' });
  });

  it('is left alone when nobody waits any more', async () => {
    const given = AbortSignal.abort(new AegisError('DRAINING'));
    await expect(secagg.awaitSharing(ref, given)).rejects.toMatchObject({ code: 'DRAINING' });
  });
});

describe('a task', () => {
  const task: Task = {
    taskId: 'T',
    runId: 7n,
    round: 1,
    kind: 'train',
    nodeId: 1n,
    modelId: 'm',
    config: [],
    layout: { dialect: 'message', arrayRecordKey: 'a', configRecordKey: 'c', weightedByKey: 'w' },
    createdAt: 1,
    ttlSeconds: 1,
    groupId: '',
    traceparent: '',
    deadline: 2,
    join: false,
  };

  it('has the same terms, or none', () => {
    expect(WireTask.decode(encodeTask({ ...task, masking })).masking).toEqual(wire);
    expect(WireTask.decode(encodeTask(task)).masking).toBeUndefined();
  });
});
