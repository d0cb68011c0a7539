// Whole runs on in-memory stores and peers, through the services as the gateway calls them.
import { IntakeService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { eventually, FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { integer, real } from '../domain/scalar.ts';
import type { Task } from '../peers/contract.ts';
import { memoryStores } from '../store/memory/index.ts';
import { writeNpy, writeNpz } from '../store/memory/npy.ts';
import { fab, legacyApp } from '../testing/bundles.ts';
import { type Arrays, answer, f4, type Reply, readModelArrays } from '../testing/simulated-node.ts';
import { World } from '../testing/world.ts';

const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 0, 0])) },
  { name: 'b', npy: writeNpy(f4([], [0])) },
]);
const bundle = (lines = '', rounds = 2) =>
  fab({
    config: `num-server-rounds = ${rounds}\nmin-available-nodes = 3\nlr = 0.1\naegis.initial-model = "file:init.npz"\n${lines}`,
    extra: [{ name: 'init.npz', content: initial }],
  });
const nodes = [1n, 2n, 3n];

/** Adds its own number to every weight. */
const learn = (task: Task, model: Arrays): Reply =>
  task.kind === 'evaluate'
    ? { metrics: [{ key: 'loss', value: real(Number(task.nodeId)) }], weight: 10 }
    : {
        arrays: {
          w: f4(
            [3],
            (model.w?.values ?? []).map((value) => value + Number(task.nodeId)),
          ),
          b: f4([], [1]),
        },
        metrics: [{ key: 'train_loss', value: real(0.5) }],
        weight: Number(task.nodeId),
      };

const start = async (
  world: World,
  options: { lines?: string; rounds?: number; overrides?: Parameters<World['start']>[1] } = {},
) => {
  const { runId } = await world.start(bundle(options.lines, options.rounds), options.overrides);
  return runId;
};
const tasksOf = (world: World, kind: Task['kind'] = 'train') =>
  [...world.peers.tasks.values()].filter((task) => task.kind === kind);
const dispatched = (world: World, count: number, kind: Task['kind'] = 'train') =>
  eventually(() =>
    tasksOf(world, kind).length === count
      ? tasksOf(world, kind)
      : Promise.reject(new Error(`${tasksOf(world, kind).length} tasks`)),
  );
const reply = (world: World, task: Task, given: Reply | null = null) =>
  world.answerTask(task, (_, model) => given ?? learn(task, model));

describe('a run', () => {
  it('goes from flwr run to its last model', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const runId = await start(world);
    const run = await world.finished(runId);
    expect(run.run?.status).toEqual({ status: 'finished', subStatus: 'completed', details: '' });
    expect(run.history.map((round) => [round.round, round.cohort, round.accepted, round.evaluated])).toEqual([
      [1, 3, 3, 3],
      [2, 3, 3, 3],
    ]);
    // each round adds (1·1 + 2·2 + 3·3) / 6
    expect((await readModelArrays(world.channel, run.modelId)).w?.values[0]).toBeCloseTo((2 * 14) / 6, 5);
    expect(run.history[1]?.evaluateMetrics).toEqual([
      { key: 'loss', value: { value: { $case: 'real', value: expect.closeTo(2) } } },
    ]);
    expect(world.peers.tasks.size).toBe(0);
    expect(
      world.peers.logOf(runId).map((line) => line.replace(/\d+\.\d s/, 'x s').replaceAll(String(runId), 'ID')),
    ).toEqual([
      'run ID: aegis/tiny 1.2.3, 2 rounds of fedavg, message records',
      'round 1/2: train 3 nodes, 3 accepted, x s; train_loss 0.5',
      'round 1/2: evaluate 3 nodes, 3 accepted, x s; loss 2',
      'round 2/2: train 3 nodes, 3 accepted, x s; train_loss 0.5',
      'round 2/2: evaluate 3 nodes, 3 accepted, x s; loss 2',
      'run ID completed',
    ]);
  });

  it('leaves a version of every round, with its lineage', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const runId = await start(world);
    await world.finished(runId);
    const { models } = await world.runs.listModels({ runId });
    expect(models.map(({ round, cohort, metrics }) => [round, cohort, metrics.map((metric) => metric.key)])).toEqual([
      [1, 3, ['train_loss', 'loss']],
      [2, 3, ['train_loss', 'loss']],
    ]);
    expect(models[1]?.parentId).toBe(models[0]?.modelId);
    expect(models[0]?.parentId).toMatch(/^[0-9a-f]{64}$/);
  });

  it('sends every node the same task but for its name', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    await start(world, { lines: 'aegis.train-config.momentum = 1.0' });
    const tasks = await dispatched(world, 3);
    expect(
      new Set(
        tasks.map(({ taskId, nodeId, ...shared }) =>
          JSON.stringify(shared, (_, v) => (typeof v === 'bigint' ? String(v) : v)),
        ),
      ).size,
    ).toBe(1);
    expect(new Set(tasks.map((task) => task.taskId)).size).toBe(3);
    expect(tasks[0]).toMatchObject({
      kind: 'train',
      round: 1,
      groupId: '',
      ttlSeconds: 43200,
      config: [
        { key: 'momentum', value: real(1) },
        { key: 'server-round', value: integer(1) },
      ],
      layout: {
        dialect: 'message',
        arrayRecordKey: 'arrays',
        configRecordKey: 'config',
        weightedByKey: 'num-examples',
      },
    });
  });

  it('asks a legacy app for its first model and goes on from it', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith((task, model) =>
      task.kind === 'initial-model'
        ? { arrays: { 0: f4([2], [5, 5]) } }
        : task.kind === 'train'
          ? {
              arrays: {
                0: f4(
                  [2],
                  (model[0]?.values ?? []).map((value) => value + 1),
                ),
              },
              weight: 2,
            }
          : { weight: 1 },
    );
    const seen: Task[] = [];
    const answering = world.peers.onTask;
    world.peers.onTask = (task) => {
      seen.push(task);
      answering(task);
    };
    const { runId } = await world.start(
      fab({ config: 'num-server-rounds = 1\naegis.initial-model = "node"', source: legacyApp }),
    );
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(seen.map((task) => [task.kind, task.groupId, task.modelId === null])).toEqual([
      ['initial-model', '0', true],
      ...Array(3).fill(['train', '1', false]),
      ...Array(3).fill(['evaluate', '1', false]),
    ]);
    expect((await readModelArrays(world.channel, run.modelId))[0]?.values).toEqual([6, 6]);
    expect(seen[1]?.config).toEqual([]);
  });

  it('waits for nodes and begins the moment they are there', async () => {
    const world = new World();
    world.peers.setOnline([1n, 2n]);
    const runId = await start(world);
    await eventually(() => world.peers.logOf(runId).some((line) => line.includes('2 online, 3 needed')));
    expect((await world.runs.listRuns({ runId, limit: 0, skip: 0 })).runs[0]?.phase).toBe('waiting-for-nodes');
    world.peers.setOnline(nodes);
    await dispatched(world, 3);
    expect((await world.runs.listRuns({ runId, limit: 0, skip: 0 })).runs[0]?.phase).toBe('training');
  });

  it('closes a round at min-report and refuses who comes late', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const runId = await start(world, {
      lines: 'aegis.selection.min-report = 2\nfraction-evaluate = 0.0\nmin-evaluate-nodes = 0',
    });
    const tasks = await dispatched(world, 3);
    const [first, second, late] = tasks as [Task, Task, Task];
    expect(await reply(world, first)).toMatchObject({ accepted: true });
    await reply(world, second);
    await eventually(() => tasksOf(world).every((task) => task.round === 2) && tasksOf(world).length === 3);
    await expect(reply(world, late)).rejects.toMatchObject({ code: 'TASK_CLOSED' });
    const [run] = (await world.runs.listRuns({ runId, limit: 0, skip: 0 })).runs;
    expect(run?.history[0]).toMatchObject({ cohort: 3, accepted: 2, dropped: 1 });
  });

  it('drops a node that goes offline and goes on without it', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const runId = await start(world);
    const tasks = await dispatched(world, 3);
    const gone = tasks.find((task) => task.nodeId === 2n) as Task;
    for (const task of tasks) if (task !== gone) await reply(world, task);
    world.peers.setOnline([1n, 3n]);
    // the evaluation waits for a third node
    await eventually(() =>
      world.peers.logOf(runId).some((line) => line.includes('1 dropped (node 2: the node went offline)')),
    );
    await expect(reply(world, gone)).rejects.toMatchObject({ code: 'TASK_CLOSED' });
  });

  it('closes at the deadline with what is there', async () => {
    const clock = new FakeClock();
    const world = new World({ clock });
    world.peers.setOnline(nodes);
    const runId = await start(world, { lines: 'aegis.selection.deadline = 30', rounds: 1 });
    const tasks = await dispatched(world, 3);
    for (const task of tasks.slice(1)) await reply(world, task);
    await clock.advance(29_000);
    // neither is the deadline nearer for it, nor further away
    clock.stepWall(86_400_000);
    await clock.advance(0);
    expect(tasksOf(world)).toHaveLength(1);
    clock.stepWall(-2 * 86_400_000);
    await clock.advance(1_000);
    await eventually(() => expect(world.peers.logOf(runId).join()).toContain('1 dropped'));
    // the evaluation waits for the third node, which did not answer its last task
    await clock.advance(30_000);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(world.peers.logOf(runId).find((line) => line.includes('left out'))).toContain('evaluate');
  });

  it('does not wait again for a node that let a deadline pass, until it shows itself', async () => {
    const clock = new FakeClock();
    const world = new World({ clock });
    world.peers.setOnline([1n, 2n, 3n, 4n]);
    const silent = new Set([4n]);
    const asked: string[] = [];
    world.answerWith((task, model) => {
      asked.push(`${task.round}:${task.nodeId}`);
      return silent.has(task.nodeId) ? null : learn(task, model);
    });
    const runId = await start(world, {
      lines: 'fraction-evaluate = 0.0\naegis.selection.deadline = 30\nmin-train-nodes = 3',
      rounds: 3,
    });
    await eventually(() => expect(asked).toHaveLength(4));
    await eventually(() => expect(tasksOf(world)).toHaveLength(1));
    await clock.advance(30_000);
    await world.finished(runId);
    expect(asked.toSorted()).toEqual(['1:1', '1:2', '1:3', '1:4', '2:1', '2:2', '2:3', '3:1', '3:2', '3:3']);
    silent.clear();
    world.peers.arrive(4n);
    asked.length = 0;
    await world.finished(await start(world, { lines: 'fraction-evaluate = 0.0', rounds: 1 }));
    expect(asked).toContain('1:4');
  });

  it('removes the first model it brought when it ends before a round, unless somebody else needs it', async () => {
    const world = new World();
    const stored = async (modelId: string) => (await world.stores.models.get(modelId)) !== null;
    const [first, second] = [await start(world), await start(world)];
    const modelId = (await world.stores.runs.get(first))?.value.startModelId ?? '';
    await world.runs.stopRun({ runId: first });
    expect(await stored(modelId)).toBe(true);
    await world.runs.stopRun({ runId: second });
    expect(await stored(modelId)).toBe(false);
    await world.runs.importModel({ name: 'kept', format: 'npz', content: initial });
    await world.runs.stopRun({ runId: await start(world) });
    expect(await stored(modelId)).toBe(true);
  });

  it('removes what it stored of a start that is refused', async () => {
    const { modelId } = await memoryStores().models.import('npz', initial, 1_000_000);
    const world = new World();
    Object.assign(world.stores.apps, { put: () => Promise.reject(new Error('refused')) });
    await expect(world.start(bundle())).rejects.toThrow();
    await eventually(async () => expect(await world.stores.models.get(modelId)).toBeNull());
  });

  it('leaves a metric out that is not finite on one node, and names the node and the key', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith((task, model) => {
      const given = learn(task, model);
      const loss = task.nodeId === 2n ? Number.POSITIVE_INFINITY : 4;
      return task.kind === 'train' ? given : { ...given, metrics: [{ key: 'loss', value: real(loss) }] };
    });
    const runId = await start(world, { rounds: 1 });
    const run = await world.finished(runId);
    expect(run.history[0]).toMatchObject({
      evaluated: 3,
      evaluateMetrics: [{ key: 'loss', value: { value: { $case: 'real', value: 4 } } }],
    });
    expect(world.peers.logOf(runId)).toContain('round 1, evaluate: metric "loss" of node 2 left out: it is Infinity');
  });

  it('tries a failed round once more, then fails with the reasons', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    let tasks = 0;
    world.peers.onTask = (task) => {
      tasks += 1;
      void world.channel.client(IntakeService).failTask({ task, code: 2, reason: "<class 'ValueError'>:<'no data'>" });
    };
    const run = await world.finished(await start(world));
    expect(tasks).toBe(6);
    expect(run.run?.status).toMatchObject({
      subStatus: 'failed',
      details: expect.stringContaining(
        "0 of 3 nodes answered, 2 needed (2 × <class 'ValueError'>:<'no data'>), after 2 tries",
      ),
    });
    expect(world.peers.tasks.size).toBe(0);
  });

  it('can be stopped in the middle', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const runId = await start(world);
    const [task] = await dispatched(world, 3);
    const model = await readModelArrays(world.channel, task?.modelId ?? '');
    await world.runs.stopRun({ runId });
    const [run] = (await world.runs.listRuns({ runId, limit: 0, skip: 0 })).runs;
    expect(run?.run?.status).toEqual({ status: 'finished', subStatus: 'stopped', details: 'Stopped in round 1 of 2.' });
    expect(world.peers.tasks.size).toBe(0);
    const late = { ...(task as Task), modelId: '' };
    await expect(answer(world.channel, late, learn(task as Task, model))).rejects.toMatchObject({
      code: 'TASK_CLOSED',
    });
    await expect(world.runs.stopRun({ runId })).rejects.toMatchObject({ code: 'RUN_FINISHED' });
    await expect(world.channel.client(IntakeService).getRun({ runId })).rejects.toMatchObject({
      code: 'RUN_NOT_ACTIVE',
    });
  });

  it('can be stopped while it waits for nodes', async () => {
    const world = new World();
    const runId = await start(world);
    await world.runs.stopRun({ runId });
    expect((await world.finished(runId)).run?.status?.subStatus).toBe('stopped');
  });

  it('runs beside others', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const ids = await Promise.all([start(world), start(world), start(world)]);
    for (const id of ids) expect((await world.finished(id)).run?.status?.subStatus).toBe('completed');
    expect(new Set(ids).size).toBe(3);
  });

  it('shows whoever watches each step, and ends with it', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const runId = await start(world);
    const events: string[] = [];
    const watching = (async () => {
      for await (const event of world.runs.watchRun({ runId }))
        events.push(`${event.message} ${event.nodes.map((node) => node.state).join()}`);
    })();
    await dispatched(world, 3);
    await eventually(() => events.some((event) => event.includes('training waiting,waiting,waiting')));
    world.answerWith(learn);
    for (const task of tasksOf(world)) await reply(world, task);
    await watching;
    expect(events.at(-1)).toBe('completed ');
  });

  it('ends a followed log with its last line', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    const runId = await start(world);
    const lines: string[] = [];
    const following = (async () => {
      for await (const { text: line } of world.runs.watchLog({ runId, after: 0, follow: true })) lines.push(line);
    })();
    await dispatched(world, 3);
    world.answerWith(learn);
    for (const task of tasksOf(world)) await reply(world, task);
    await following;
    expect(lines).toEqual(world.peers.logOf(runId));
    expect(lines.at(-1)).toContain('completed');
  });
});

describe('an answer', () => {
  const world1 = async (lines = '') => {
    const world = new World();
    world.peers.setOnline(nodes);
    const runId = await start(world, { lines });
    const tasks = await dispatched(world, 3);
    return { world, runId, task: tasks[0] as Task, others: tasks.slice(1) };
  };

  it('given again gets the same verdict, also when the round has gone on', async () => {
    const { world, runId, task, others } = await world1();
    expect(await reply(world, task)).toMatchObject({ accepted: true });
    expect(await reply(world, task)).toMatchObject({ accepted: true });
    for (const other of others) await reply(world, other);
    await dispatched(world, 3, 'evaluate');
    expect(await reply(world, task)).toMatchObject({ accepted: true });
    const [run] = (await world.runs.listRuns({ runId, limit: 0, skip: 0 })).runs;
    expect(run?.history[0]?.accepted).toBe(3);
  });

  it('that is another one is refused: the first counts', async () => {
    const { world, task } = await world1();
    await reply(world, task);
    await expect(
      reply(world, task, { arrays: { w: f4([3], [9, 9, 9]), b: f4([], [9]) }, weight: 1 }),
    ).rejects.toMatchObject({ code: 'TASK_ANSWERED' });
  });

  it('given twice at the same time counts once', async () => {
    const { world, task } = await world1();
    const verdicts = await Promise.all([reply(world, task), reply(world, task), reply(world, task)]);
    expect(verdicts.map((verdict) => verdict?.accepted)).toEqual([true, true, true]);
    const view = world.owner.owned(task.runId)?.current();
    expect([...(view?.members.values() ?? [])].map((member) => member.state).sort()).toEqual([
      'accepted',
      'waiting',
      'waiting',
    ]);
  });

  it.each<[string, Reply, string]>([
    ['NaN', { arrays: { w: f4([3], [Number.NaN, 0, 0]), b: f4([], [0]) }, weight: 1 }, 'UPDATE_NOT_FINITE'],
    ['a missing tensor', { arrays: { w: f4([3], [0, 0, 0]) }, weight: 1 }, 'UPDATE_TENSORS'],
    ['a renamed tensor', { arrays: { w: f4([3], [0, 0, 0]), B: f4([], [0]) }, weight: 1 }, 'UPDATE_TENSORS'],
    ['another shape', { arrays: { w: f4([2], [0, 0]), b: f4([], [0]) }, weight: 1 }, 'UPDATE_TENSORS'],
    ['no weight', { arrays: { w: f4([3], [0, 0, 0]), b: f4([], [0]) } }, 'UPDATE_WEIGHT'],
    ['a negative weight', { arrays: { w: f4([3], [0, 0, 0]), b: f4([], [0]) }, weight: -1 }, 'UPDATE_WEIGHT'],
  ])('with %s is refused, counted as refused, and the run goes on', async (_what, bad, code) => {
    const { world, runId, task, others } = await world1();
    expect(await reply(world, task, bad)).toMatchObject({
      accepted: false,
      refusalCode: code,
      refusal: expect.stringContaining(' '),
    });
    expect(await reply(world, task, bad)).toMatchObject({ accepted: false, refusalCode: code });
    world.answerWith(learn);
    for (const other of others) await reply(world, other);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect(run.history[0]).toMatchObject({ cohort: 3, accepted: 2, refused: 1 });
  });

  it('to a task of another node is refused', async () => {
    const { world, task } = await world1();
    await expect(reply(world, { ...task, nodeId: 99n })).rejects.toMatchObject({ code: 'TASK_NOT_YOURS' });
  });
  it('to a task that never was is refused', async () => {
    const { world, task } = await world1();
    await expect(reply(world, { ...task, taskId: 'no-such-task' })).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  });
  it('to a run that never was is refused', async () => {
    const { world, task } = await world1();
    await expect(answer(world.channel, { ...task, runId: 5n, modelId: '' }, { weight: 1 })).rejects.toMatchObject({
      code: 'RUN_NOT_FOUND',
    });
  });

  it('may not send parts without end', async () => {
    const { world, task } = await world1();
    const intake = world.channel.client(IntakeService);
    const part = async (byte: number) => {
      const content = Buffer.alloc(30 * 2 ** 20, byte);
      const partId = (await import('node:crypto')).createHash('sha256').update(content).digest('hex');
      return intake.appendPart({ task, partId, content });
    };
    await part(1);
    await part(2);
    await expect(part(3)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
  });
  it('sends parts under their own hash only', async () => {
    const { world, task } = await world1();
    const intake = world.channel.client(IntakeService);
    await expect(intake.appendPart({ task, partId: 'a'.repeat(64), content: Buffer.from('x') })).rejects.toMatchObject({
      code: 'PART_HASH',
    });
    await expect(intake.appendPart({ task, partId: '../x', content: Buffer.from('x') })).rejects.toMatchObject({
      code: 'REQUEST_MALFORMED',
    });
  });

  it('after a failure is refused', async () => {
    const { world, task } = await world1();
    const intake = world.channel.client(IntakeService);
    await intake.failTask({ task, code: 2, reason: 'x' });
    await intake.failTask({ task, code: 2, reason: 'x' });
    await expect(reply(world, task)).rejects.toMatchObject({ code: expect.stringMatching(/TASK_(CLOSED|ANSWERED)/) });
  });
  it('after an acceptance cannot be taken back', async () => {
    const { world, task } = await world1();
    await reply(world, task);
    await expect(world.channel.client(IntakeService).failTask({ task, code: 2, reason: 'x' })).rejects.toMatchObject({
      code: 'TASK_ANSWERED',
    });
  });
});

describe('starting a run', () => {
  it('tells an app without a plan the exact command', async () => {
    const world = new World();
    await expect(world.start(fab({ config: 'num-server-rounds = 1' }))).rejects.toMatchObject({
      code: 'PLAN_MISSING',
      message: expect.stringContaining('aegis/tiny 1.2.3 was never imported'),
      detail: expect.stringContaining('Type: aegis app import <DIR>'),
    });
    expect((await world.runs.listRuns({ limit: 0, skip: 0 })).runs).toEqual([]);
  });

  it.each([
    ['a broken bundle', Buffer.from('hello'), 'APP_MALFORMED'],
    ['a plan with a wrong key', bundle('aegis.strateggy = "fedavg"'), 'PLAN_INVALID'],
    [
      'a model that nobody knows',
      fab({ config: 'num-server-rounds = 1\naegis.initial-model = "model:nobody"' }),
      'MODEL_NOT_FOUND',
    ],
    [
      'a model of a run that never was',
      fab({ config: 'num-server-rounds = 1\naegis.initial-model = "run:7@1"' }),
      'MODEL_NOT_FOUND',
    ],
    [
      'a file that is not in the bundle',
      fab({ config: 'num-server-rounds = 1\naegis.initial-model = "file:x.npz"' }),
      'PLAN_INVALID',
    ],
    [
      'a file that is no model',
      fab({
        config: 'num-server-rounds = 1\naegis.initial-model = "file:x.npz"',
        extra: [{ name: 'x.npz', content: 'no' }],
      }),
      'MODEL_MALFORMED',
    ],
  ])('refuses %s before anything is kept', async (_what, bytes, code) => {
    const world = new World();
    await expect(world.start(bytes)).rejects.toMatchObject({ code });
    expect((await world.runs.listRuns({ limit: 0, skip: 0 })).runs).toEqual([]);
  });

  it('starts from a model imported under a name, or from a round of another run', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const imported = await world.runs.importModel({ name: 'mine', format: 'npz', content: initial });
    const config = (source: string) => fab({ config: `num-server-rounds = 1\naegis.initial-model = "${source}"` });
    const first = await world.start(config('model:mine'));
    await world.finished(first.runId);
    expect((await world.runs.listModels({ runId: first.runId })).models[0]?.parentId).toBe(imported.modelId);
    const second = await world.start(config(`run:${first.runId}@1`));
    const run = await world.finished(second.runId);
    expect((await readModelArrays(world.channel, run.modelId)).w?.values[0]).toBeCloseTo((2 * 14) / 6, 5);
    const third = await world.start(config(`model:${imported.modelId}`));
    await world.finished(third.runId);
  });

  it.each(['', 'best model', 'a/b', 'x'.repeat(65), 'ä', 'f'.repeat(64)])(
    'imports no model under the name %j, and says what to do',
    async (name) => {
      const world = new World();
      const importing = world.runs.importModel({ name, format: 'npz', content: initial });
      await expect(importing).rejects.toMatchObject({
        code: 'MODEL_MALFORMED',
        detail: expect.stringContaining('--name'),
      });
    },
  );

  it('imports no model without arrays', async () => {
    const world = new World();
    const importing = world.runs.importModel({ name: 'empty', format: 'npz', content: writeNpz([]) });
    await expect(importing).rejects.toMatchObject({
      code: 'MODEL_MALFORMED',
      detail: expect.stringContaining('no arrays'),
    });
    expect((await world.runs.listModels({})).models).toEqual([]);
  });

  it('takes a first model of the allowed size at most, brought by an app or by an operator', async () => {
    const world = new World();
    const content = writeNpz([{ name: 'w', npy: writeNpy(f4([2 ** 18], new Array(2 ** 18).fill(0))) }]);
    const importing = world.runs.importModel({ name: 'large', format: 'npz', content });
    await expect(importing).rejects.toMatchObject({ code: 'MODEL_MALFORMED' });
    const config = 'num-server-rounds = 1\naegis.initial-model = "file:init.npz"';
    const starting = world.start(fab({ config, extra: [{ name: 'init.npz', content }] }));
    await expect(starting).rejects.toMatchObject({ code: 'MODEL_MALFORMED' });
    expect((await world.runs.listRuns({ limit: 0, skip: 0 })).runs).toEqual([]);
  });

  it('gives nodes only the overrides that the app knows', async () => {
    const world = new World();
    const runId = await start(world, {
      overrides: [
        { key: 'lr', value: real(0.7) },
        { key: 'min-train-nodes', value: integer(1) },
        { key: 'aegis.evaluate.every', value: integer(2) },
      ],
    });
    const view = await world.channel.client(IntakeService).getRun({ runId });
    expect(view.overrides).toEqual([{ key: 'lr', value: { value: { $case: 'real', value: 0.7 } } }]);
    expect(view).toMatchObject({ appId: 'aegis/tiny', appVersion: '1.2.3' });
    expect(view.seriesId).not.toBe(0n);
  });

  it('gives a run its own bundle, byte for byte, and no other', async () => {
    const world = new World();
    const bytes = bundle();
    const { runId } = await world.start(bytes);
    const intake = world.channel.client(IntakeService);
    const { appHash } = await intake.getRun({ runId });
    expect((await intake.getApp({ runId, appHash })).fab).toEqual(bytes);
    await expect(intake.getApp({ runId, appHash: 'f'.repeat(64) })).rejects.toMatchObject({ code: 'APP_NOT_FOUND' });
  });
});

describe('an imported app', () => {
  const plan = (more: object = {}) =>
    JSON.stringify({
      schema: 1,
      flwr: '1.41.0',
      'app-id': 'aegis/tiny',
      'app-digest': 'd'.repeat(64),
      records: 'message',
      'num-server-rounds': 1,
      'fraction-train': 1,
      'fraction-evaluate': 0,
      'min-train-nodes': 3,
      'min-evaluate-nodes': 0,
      'min-available-nodes': 3,
      'weighted-by-key': 'num-examples',
      'arrayrecord-key': 'arrays',
      'configrecord-key': 'config',
      strategy: 'fedavg',
      'strategy-class': 'FedAvg',
      'train-config': [{ round: 0, entries: [{ key: 'lr', type: 'double', value: 0.1 }] }],
      'evaluate-config': [],
      'initial-model': 'captured',
      'left-out': ['evaluate_fn'],
      'run-config': { lr: 0.1 },
      ...more,
    });
  const app = fab({ config: 'lr = 0.1' });
  const put = async (world: World, planJson = plan(), modelNpz: Buffer = initial) => {
    const { unpackBundle } = await import('./unpack-bundle.ts');
    const { digest } = await unpackBundle(app);
    return world.runs.putPlan({ appHash: '', appDigest: digest, appId: 'aegis/tiny', planJson, modelNpz });
  };

  it('runs untouched, found by its digest', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const { modelId } = await put(world);
    const { runId, note } = await world.start(app, [{ key: 'lr', value: real(0.3) }]);
    expect(note.split('\n')).toEqual([
      'lr is 0.3 in this run, 0.1 when the app was imported; the nodes are sent the new value.',
      'left out in native mode: evaluate_fn',
    ]);
    const run = await world.finished(runId);
    expect(run.run?.status?.subStatus).toBe('completed');
    expect((await world.runs.listModels({ runId })).models[0]?.parentId).toBe(modelId);
    expect(world.peers.logOf(runId)).toContain('left out in native mode: evaluate_fn');
  });

  it('gives a legacy app its arrays by position', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    await put(world, plan({ records: 'legacy' }));
    await world.start(app);
    const [task] = await dispatched(world, 3);
    expect(Object.keys(await readModelArrays(world.channel, task?.modelId ?? ''))).toEqual(['0', '1']);
    expect(task?.config).toEqual([{ key: 'lr', value: real(0.1) }]);
  });

  it.each<[string, string, Buffer, string]>([
    ['is not JSON', '{', initial, 'PLAN_INVALID'],
    ['has no model though it says so', plan(), Buffer.alloc(0), 'PLAN_INVALID'],
    ['has a model that is none', plan(), Buffer.from('x'), 'MODEL_MALFORMED'],
  ])('is refused when its plan %s', async (_what, json, npz, code) => {
    await expect(put(new World(), json, npz)).rejects.toMatchObject({ code });
  });

  it('is refused without a digest', async () => {
    const world = new World();
    const request = { appHash: '', appDigest: 'short', appId: 'a/b', planJson: plan(), modelNpz: initial };
    await expect(world.runs.putPlan(request)).rejects.toMatchObject({
      code: 'PLAN_INVALID',
      message: expect.stringContaining('app_digest'),
    });
  });
});

describe('nodes of other kinds', () => {
  it('without identity are selected only where the plan lets them in, and the task says so', async () => {
    const world = new World();
    world.peers.kinds.set(3n, 'join').set(4n, 'native');
    world.peers.setOnline(nodes);
    const closed = await start(world);
    await eventually(() => expect(world.peers.logOf(closed).join()).toContain('waiting for nodes: 2 online, 3 needed'));
    const open = await start(world, { lines: 'aegis.join = true' });
    const shared = await dispatched(world, 3);
    expect(shared.map(({ runId, nodeId, join }) => [runId, nodeId, join]).sort()).toEqual(
      nodes.map((nodeId) => [open, nodeId, true]),
    );
    expect(shared.every(({ createdAt, deadline }) => deadline === createdAt + 600_000)).toBe(true);
    world.peers.setOnline([...nodes, 4n]);
    const all = await dispatched(world, 6);
    const others = all.filter(({ runId }) => runId === closed);
    expect(others.map(({ nodeId, join }) => [nodeId, join]).sort()).toEqual([
      [1n, false],
      [2n, false],
      [4n, false],
    ]);
  });
});

describe('models', () => {
  it('are exported by run and round, the newest by default', async () => {
    const world = new World();
    world.peers.setOnline(nodes);
    world.answerWith(learn);
    const runId = await start(world);
    await world.finished(runId);
    const names: string[] = [];
    for (const round of [0, 1]) {
      for await (const { fileName } of world.runs.exportModel({ modelId: '', runId, round, format: 'npz' }))
        if (fileName) names.push(fileName);
    }
    expect(names).toEqual(['model_round_2.npz', 'model_round_1.npz']);
    const bad = async (request: { modelId: string; runId: bigint; round: number; format: string }) => {
      for await (const _ of world.runs.exportModel(request));
    };
    await expect(bad({ modelId: '', runId, round: 9, format: 'npz' })).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
    await expect(bad({ modelId: 'zzz', runId: 0n, round: 0, format: 'npz' })).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
    await expect(bad({ modelId: '', runId, round: 1, format: 'onnx' })).rejects.toMatchObject({
      code: 'REQUEST_MALFORMED',
    });
  });

  it('are read within their bounds', async () => {
    const world = new World();
    const { modelId, bytes } = await world.runs.importModel({ name: 'x', format: 'npz', content: initial });
    const intake = world.channel.client(IntakeService);
    await expect(intake.readModel({ modelId, offset: 0n, length: bytes + 1n })).rejects.toMatchObject({
      code: 'REQUEST_MALFORMED',
    });
    await expect(intake.readModel({ modelId, offset: 2n ** 63n, length: 1n })).rejects.toMatchObject({
      code: 'REQUEST_MALFORMED',
    });
    await expect(intake.describeModel({ modelId: 'x' })).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });
});
