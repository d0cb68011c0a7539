// Two aggregators behind one channel. They are services in this process that answer, refuse or hang as each test says.
import { IntakeService, RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError, type ErrorCode } from '@aegis/errors';
import { type HandlersOf, inProcessChannel, type ServiceChannel, serviceOf, systemClock } from '@aegis/service-kit';
import { eventually } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { aggregatorsChannel } from './aggregators.ts';
import { RunOwners } from './run-owners.ts';

type Answers = Partial<HandlersOf<typeof IntakeService> & HandlersOf<typeof RunsService>>;

const lease = (address: string, epoch = 1) =>
  Buffer.from(JSON.stringify({ schema: 1, value: { runId: { $int: '7' }, owner: 'o', address, volume: 'v', epoch } }));
const refuse = (code: ErrorCode) => async () => {
  throw new AegisError(code);
};
const task = { taskId: 'T', runId: 7n, nodeId: 1n };
const part = { task, partId: 'p', content: Buffer.from('x') };

const world = (
  answers: Record<string, Answers>,
  addresses: [string, ...string[]] = ['a:1', 'b:1'],
  hurried?: AbortSignal,
) => {
  const called: string[] = [];
  const owners = new RunOwners();
  const open = (address: string): ServiceChannel => {
    const counted = (definition: object) =>
      serviceOf(
        definition,
        Object.fromEntries(
          Object.entries(definition).map(([method, { responseStream }]) => {
            const answer = answers[address]?.[method as keyof Answers] ?? refuse('UNAVAILABLE');
            const call = (request: never, context: never) => {
              called.push(`${address} ${method}`);
              return (answer as (request: never, context: never) => unknown)(request, context);
            };
            return [
              method,
              responseStream ? (r: never, c: never) => call(r, c) : async (r: never, c: never) => call(r, c),
            ];
          }),
        ) as never,
      );
    const channel = inProcessChannel([counted(IntakeService), counted(RunsService)]);
    return { ...channel, ready: async () => answers[address] !== undefined };
  };
  const channel = aggregatorsChannel({ addresses, owners, open, clock: systemClock, ...(hurried && { hurried }) });
  return { intake: channel.client(IntakeService), runs: channel.client(RunsService), owners, called };
};
const stored = { appendPart: async () => ({ deduplicated: false }) };

describe('a call about a run', () => {
  it('goes to its owner, also to one that is not listed', async () => {
    const { intake, owners, called } = world({ 'a:1': stored, 'c:1': stored });
    owners.hear('7', lease('c:1'));
    await intake.appendPart(part);
    expect(called).toEqual(['c:1 appendPart']);
  });

  it('waits for no new owner once the gateway drains: the node finds another gateway', async () => {
    const draining = new AbortController();
    const { intake, owners, called } = world({}, ['a:1', 'b:1'], draining.signal);
    owners.hear('7', lease('a:1'));
    const waiting = intake.appendPart(part);
    const refused = expect(waiting).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await eventually(() => called.length >= 2);
    draining.abort();
    await refused;
    const asked = called.length;
    await expect(intake.appendPart(part)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(called).toHaveLength(asked + 1);
  });

  it('leaves an owner that hangs once the gateway drains, and none that answers', async () => {
    const draining = new AbortController();
    const answers = { appendPart: () => new Promise<never>(() => {}), missingParts: async () => ({ partIds: [] }) };
    const { intake, owners } = world({ 'a:1': answers as Answers }, ['a:1', 'b:1'], draining.signal);
    owners.hear('7', lease('a:1'));
    const hanging = intake.appendPart(part);
    const refused = expect(hanging).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    draining.abort();
    await intake.missingParts({ task, partIds: [] } as never);
    await refused;
    await expect(intake.appendPart(part)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('goes to the listed ones until the owner says where it is', async () => {
    const { intake, owners, called } = world({ 'b:1': stored });
    await intake.appendPart(part);
    owners.hear('7', lease(''));
    await intake.appendPart(part);
    expect(new Set(called)).toEqual(new Set(['a:1 appendPart', 'b:1 appendPart']));
  });

  it('waits for the next owner when its own is gone', async () => {
    const { intake, owners, called } = world({ 'b:1': stored });
    owners.hear('7', lease('a:1'));
    const answer = intake.appendPart(part);
    await eventually(() => called.length > 0);
    owners.hear('7', lease('b:1', 2));
    expect(await answer).toEqual({ deduplicated: false });
  });

  it('leaves an owner that hangs when the run has another', async () => {
    const { intake, owners, called } = world({ 'a:1': { appendPart: () => new Promise(() => {}) }, 'b:1': stored });
    owners.hear('7', lease('a:1'));
    const answer = intake.appendPart(part);
    await eventually(() => called.length > 0);
    owners.hear('7', lease('b:1', 2));
    expect(await answer).toEqual({ deduplicated: false });
    expect(called).toEqual(['a:1 appendPart', 'b:1 appendPart']);
  });

  it('is not repeated for a refusal, and not beyond what its caller waits', async () => {
    const { intake, owners, called } = world({ 'a:1': { appendPart: refuse('DISK_FULL') } });
    owners.hear('7', lease('a:1'));
    await expect(intake.appendPart(part)).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(called).toHaveLength(1);
    owners.hear('7', lease('b:1', 2));
    await expect(intake.appendPart(part, { timeoutMs: 600 })).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|DEADLINE/),
    });
  });

  it('that is over still goes to who had it', async () => {
    const { intake, owners, called } = world({ 'a:1': stored, 'b:1': stored });
    owners.hear('7', lease('b:1'));
    owners.hear('7', null);
    await intake.appendPart(part);
    expect(called).toEqual(['b:1 appendPart']);
  });

  it('survives a lease that cannot be read', async () => {
    const { intake, owners, called } = world({ 'a:1': stored });
    owners.hear('7', Buffer.from('not a lease'));
    await intake.appendPart(part);
    expect(called).toEqual(['a:1 appendPart']);
  });
});

describe('any other call', () => {
  const model = { modelId: 'm', offset: 0n, length: 1n };
  const has = { readModel: async () => ({ content: Buffer.from('x') }) };
  const hasNot = { readModel: refuse('MODEL_NOT_FOUND') };

  it('goes to the first that answers', async () => {
    const { runs, called } = world({ 'b:1': { listRuns: async () => ({ runs: [] }) } });
    expect(await runs.listRuns({ limit: 0, skip: 0 })).toEqual({ runs: [] });
    expect(called).toEqual(['a:1 listRuns', 'b:1 listRuns']);
  });

  it('that starts a run is made once, where somebody is', async () => {
    const started = { runId: 1n, seriesId: 2n, note: '' };
    const { runs, called } = world({ 'b:1': { startRun: async () => started } });
    expect(await runs.startRun({ overrides: [], federation: '', owner: undefined, fab: Buffer.alloc(0) })).toEqual(
      started,
    );
    expect(called).toEqual(['b:1 startRun']);
    const lost = world({ 'a:1': { startRun: refuse('UNAVAILABLE') }, 'b:1': { startRun: async () => started } });
    const call = lost.runs.startRun({ overrides: [], federation: '', owner: undefined, fab: Buffer.alloc(0) });
    await expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(lost.called).toEqual(['a:1 startRun']);
  });

  it('reads a model from the volume that has it, and goes there first the next time', async () => {
    const { intake, called } = world({ 'a:1': hasNot, 'b:1': has });
    await intake.readModel(model);
    await intake.readModel(model);
    expect(called).toEqual(['a:1 readModel', 'b:1 readModel', 'b:1 readModel']);
  });

  it('does not call a model missing that may be where nobody answers', async () => {
    await expect(world({ 'a:1': hasNot }).intake.readModel(model)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const all = world({ 'a:1': hasNot, 'b:1': hasNot });
    await expect(all.intake.readModel(model)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  it('streams from the first that has it', async () => {
    const piece = { fileName: 'f', content: Buffer.from('x') };
    const { runs } = world({
      'a:1': {
        // biome-ignore lint/correctness/useYield: it refuses before it has anything
        exportModel: async function* () {
          throw new AegisError('MODEL_NOT_FOUND');
        },
      },
      'b:1': {
        exportModel: async function* () {
          yield piece;
        },
      },
    });
    const pieces = [];
    for await (const one of runs.exportModel({ modelId: 'm', runId: 0n, round: 0, format: 'npz' })) pieces.push(one);
    expect(pieces).toEqual([piece]);
  });
});
