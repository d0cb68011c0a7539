// The aggregator as a process of its own: killed without warning, it goes on where it was.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { NodeKind, Task, TaskKind } from '@aegis/contracts/aegis/events/v1/task';
import { grpcChannel, type ServiceChannel } from '@aegis/service-kit';
import { eventually, freePort, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeNpy, writeNpz } from './store/memory/npy.ts';
import { fab } from './testing/bundles.ts';
import { answer, f4, readModelArrays } from './testing/simulated-node.ts';

const nats = withNats();
let folder: TemporaryFolder;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await temporaryFolder('aggregator-process');
});
afterEach(async () => {
  for (const child of children.splice(0)) await end(child, 'SIGKILL');
  await folder.remove();
});

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  child.kill(signal);
  return exited;
};

const startProcess = async (): Promise<{
  child: ChildProcess;
  channel: ServiceChannel;
  metrics: number;
  output: () => string;
}> => {
  const { url, credentials } = nats().server;
  const [port, metrics] = [await freePort(), await freePort()];
  await writeFile(join(folder.path, 'password'), credentials.password.reveal(), { mode: 0o600 });
  await writeFile(
    join(folder.path, 'config.yaml'),
    `aggregator: { state-dir: ${join(folder.path, 'state')} }
listen: { address: "127.0.0.1:${port}", insecure: true }
nats: { servers: ["${url}"], user: ${credentials.user}, password-file: ${join(folder.path, 'password')} }
metrics: { address: "127.0.0.1:${metrics}" }
`,
  );
  const main = join(import.meta.dirname, 'main.ts');
  const child = spawn(process.execPath, [main, '--config', join(folder.path, 'config.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (piece: Buffer) => (output += piece.toString()));
  const channel = grpcChannel({ address: `127.0.0.1:${port}`, insecure: true });
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(output);
    return channel.ready();
  });
  return { child, channel, metrics, output: () => output };
};

const initial = writeNpz([{ name: 'w', npy: writeNpy(f4([4], [0, 0, 0, 0])) }]);
const app = fab({
  config:
    'num-server-rounds = 2\nmin-available-nodes = 3\nfraction-evaluate = 0.0\naegis.initial-model = "file:init.npz"',
  extra: [{ name: 'init.npz', content: initial }],
});
const openTasks = async (): Promise<Task[]> => {
  const tasks: Task[] = [];
  const bus = await nats().connect();
  for await (const { value } of (await bus.bucket('tasks')).entries()) tasks.push(Task.decode(value));
  await bus.close();
  return tasks;
};
const learn = async (channel: ServiceChannel, task: Task) => {
  expect(task.kind).toBe(TaskKind.TRAIN);
  const model = await readModelArrays(channel, task.modelId);
  const w = (model.w?.values ?? []).map((value, i) => value + Number(task.nodeId) / (3 + i));
  return answer(channel, task, { arrays: { w: f4([4], w) }, weight: 0.1 * Number(task.nodeId) });
};

describe('the aggregator process', () => {
  it('goes on after kill -9 in the middle of a round, to the same bits, and ends well when asked to', async () => {
    const bus = await nats().connect();
    const asked = await bus.subscribe('presence-ask', new AbortController().signal);
    const announce = () =>
      bus.publish('presence', {
        gatewayId: 'g',
        snapshot: true,
        nodes: [1n, 2n, 3n].map((nodeId) => ({
          nodeId,
          online: true,
          kind: NodeKind.UNSPECIFIED,
          unit: '',
          user: '',
          canMask: false,
          left: false,
        })),
      });
    void (async () => {
      for await (const _ of asked) announce();
    })();

    const run = async (kill: boolean): Promise<string> => {
      let { child, channel, metrics, output } = await startProcess();
      const { runId } = await channel
        .client(RunsService)
        .startRun({ overrides: [], federation: '', owner: undefined, fab: app });
      for (const round of [1, 2]) {
        const tasks = await eventually(async () => {
          const open = (await openTasks()).filter((task) => task.runId === runId && task.round === round);
          if (open.length !== 3) throw new Error(`${open.length} tasks`);
          return open;
        });
        expect(await learn(channel, tasks[1] as Task)).toMatchObject({ accepted: true });
        if (kill) {
          await end(child, 'SIGKILL');
          await channel.close();
          ({ child, channel, metrics, output } = await startProcess());
        }
        expect(await learn(channel, tasks[1] as Task)).toMatchObject({ accepted: true });
        for (const task of [tasks[2], tasks[0]] as Task[])
          expect(await learn(channel, task)).toMatchObject({ accepted: true });
      }
      const runs = channel.client(RunsService);
      const summary = await eventually(async () => {
        const [one] = (await runs.listRuns({ runId, limit: 0, skip: 0 })).runs;
        if (one?.run?.status?.status !== 'finished') throw new Error(`the run is ${one?.run?.status?.status}`);
        return one;
      });
      expect(summary.history.map((round) => round.accepted)).toEqual([3, 3]);
      const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
      expect(text).toContain('aegis_round_seconds');
      await channel.close();
      expect(await end(child, 'SIGTERM'), output()).toBe(0);
      return summary.modelId;
    };

    const undisturbed = await run(false);
    expect(await run(true)).toBe(undisturbed);
    await bus.close();
  }, 120_000);

  it('refuses a configuration with one clear line', async () => {
    await writeFile(join(folder.path, 'bad.yaml'), 'aggregator: { state-dir: x, colour: red }\n');
    const child = spawn(process.execPath, [
      join(import.meta.dirname, 'main.ts'),
      '--config',
      join(folder.path, 'bad.yaml'),
    ]);
    children.push(child);
    let output = '';
    child.stdout.on('data', (piece: Buffer) => (output += piece.toString()));
    // not 'exit', which may come before the last of what it said
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(2);
    expect(output).toContain('CONFIG_INVALID');
    expect(output).toContain('colour');
  });
});
