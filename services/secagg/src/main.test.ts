// The service as processes of its own, on a real nats-server: killed in every stage, they go on with everything that was acknowledged.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { grpcChannel, type ServiceChannel } from '@aegis/service-kit';
import {
  eventually,
  freePort,
  startTestNats,
  type TemporaryFolder,
  type TestNats,
  temporaryFolder,
} from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Federation, openSum, type Plan, planOf, TestNode } from './testing/cohort.ts';
import { callersOf } from './testing/service.ts';

interface Process {
  readonly port: number;
  child: ChildProcess;
  readonly channel: ServiceChannel;
}

let nats: TestNats;
let folder: TemporaryFolder;
let federation: Federation;
const processes: Process[] = [];

beforeEach(async () => {
  nats = await startTestNats();
  folder = await temporaryFolder('secagg-process');
  federation = await Federation.create();
  await writeFile(join(folder.path, 'root.pem'), federation.rootPem);
});
afterEach(async () => {
  for (const one of processes.splice(0)) {
    await end(one.child, 'SIGKILL');
    await one.channel.close();
  }
  await nats.stop();
  await folder.remove();
});

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  child.kill(signal);
  return exited;
};

const spawned = async (port: number): Promise<ChildProcess> => {
  const { url, credentials } = nats.server;
  const passwordFile = join(folder.path, 'password');
  await writeFile(passwordFile, credentials.password.reveal(), { mode: 0o600 });
  const config = {
    secagg: { 'federation-root': join(folder.path, 'root.pem'), threads: 1 },
    listen: { address: `127.0.0.1:${port}`, insecure: true },
    nats: { servers: [url], user: credentials.user, 'password-file': passwordFile },
  };
  const file = join(folder.path, `config-${port}.yaml`);
  await writeFile(file, JSON.stringify(config));
  return spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--config', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
};

const isUp = ({ child, channel }: Process) =>
  eventually(async () => {
    expect(child.exitCode).toBeNull();
    if (!(await channel.ready())) throw new Error('not yet');
  });

const start = async (): Promise<Process> => {
  const port = await freePort();
  const channel = grpcChannel({ address: `127.0.0.1:${port}`, insecure: true });
  const one = { port, child: await spawned(port), channel };
  processes.push(one);
  await isUp(one);
  return one;
};

const restart = async (one: Process): Promise<void> => {
  await end(one.child, 'SIGKILL');
  one.child = await spawned(one.port);
  await isUp(one);
};

/** Says it, and hangs up when it is written down. */
const kept = async (
  callers: ReturnType<typeof callersOf>,
  node: TestNode,
  plan: Plan,
  stage: 'advertise' | 'share' | 'confirm' | 'unmask',
  answer: Buffer,
): Promise<void> => {
  const waiting = new AbortController();
  const said = callers.once(node, plan, stage, answer, waiting.signal).catch(() => null);
  const facts = await (await nats.connect()).bucket('secagg-facts');
  const key = `${plan.terms.run}.${plan.terms.round}.${stage}.${node.id}`;
  await eventually(async () => expect(await facts.get(key)).not.toBeNull());
  waiting.abort();
  await said;
};

const cohortOf = (plan: Plan) =>
  Promise.all(
    Array.from({ length: plan.cohort }, async (_, at) => {
      const identity = await federation.identity(`node-${at}`);
      return new TestNode(String(at + 1), at + 1, identity, plan, Date.now());
    }),
  );

describe('the secagg processes', () => {
  it('go on in the same stage when they are killed, with everything that was acknowledged', async () => {
    const one = await start();
    const other = await start();
    const plan = await planOf(4, { dropouts: 0.25 });
    const nodes = await cohortOf(plan);
    const [first, second] = [callersOf(one.channel), callersOf(other.channel)];
    await first.open(plan, nodes);
    const callers = (at: number) => (at % 2 === 0 ? first : second);

    // All but one have advertised when one process dies: what they said is kept, and they wait at the other.
    for (const node of nodes.slice(0, 3)) await kept(first, node, plan, 'advertise', node.advert());
    await restart(one);
    const rosters = await Promise.all(nodes.map((node, at) => callers(at).say(node, plan, 'advertise', node.advert())));
    const shares = await Promise.all(
      nodes.map((node, at) => node.share(rosters[at]?.request as Buffer, federation.openCertificate)),
    );
    await kept(second, nodes[0] as TestNode, plan, 'share', shares[0] as Buffer);
    await restart(other);
    const deliveries = await Promise.all(
      nodes.map((node, at) => callers(at).say(node, plan, 'share', shares[at] as Buffer)),
    );
    expect(deliveries.map(({ stage }) => stage)).toEqual(nodes.map(() => SecaggStage.MASK));
    const vectors = await Promise.all(nodes.map((node, at) => node.mask(deliveries[at]?.request as Buffer)));
    await restart(one);
    expect((await second.awaitSharing(plan)).participants).toEqual([1n, 2n, 3n, 4n]);

    const survivors = nodes.slice(1);
    const ids = survivors.map(({ id }) => id);
    const lost = first.unmask(plan, ids).catch((error: unknown) => error);
    const lists = await Promise.all(survivors.map((node, at) => callers(at).say(node, plan, 'mask')));
    const confirmations = await Promise.all(survivors.map((node, at) => node.confirm(lists[at]?.request as Buffer)));
    await kept(second, survivors[0] as TestNode, plan, 'confirm', confirmations[0] as Buffer);
    await restart(one);
    expect(await lost).toBeInstanceOf(Error);
    const asked = await Promise.all(
      survivors.map((node, at) => callers(at).say(node, plan, 'confirm', confirmations[at] as Buffer)),
    );
    const openings = await Promise.all(survivors.map((node, at) => node.unmask(asked[at]?.request as Buffer)));
    await kept(first, survivors[0] as TestNode, plan, 'unmask', openings[0] as Buffer);
    await restart(one);
    await restart(other);
    for (const [at, node] of survivors.entries()) {
      expect((await second.say(node, plan, 'unmask', openings[at] as Buffer)).done).toBe(true);
    }
    const { mask } = await second.unmask(plan, ids);
    expect(await openSum(plan, vectors.slice(1), mask)).toBeCloseTo(2 + 3 + 4, 2);
    await restart(one);
    expect((await first.unmask(plan, ids)).mask).toEqual(mask);

    await first.end(plan);
    await expect(second.awaitSharing(plan)).rejects.toMatchObject({ code: 'SECAGG_ROUND_OVER' });
    const bus = await nats.connect();
    const left: string[] = [];
    for await (const { key } of (await bus.bucket('secagg-facts')).entries()) left.push(key);
    expect(left).toEqual(['7.1.ended']);
  }, 120_000);

  it('let go whoever waits when they are told to end', async () => {
    const one = await start();
    const plan = await planOf(4, { dropouts: 0.25 });
    const nodes = await cohortOf(plan);
    const callers = callersOf(one.channel);
    await callers.open(plan, nodes);
    const [node] = nodes as [TestNode];
    const waiting = callers.once(node, plan, 'advertise', node.advert());
    await kept(callers, node, plan, 'advertise', node.advert());
    const ended = end(one.child, 'SIGTERM');
    expect(await waiting).toMatchObject({ nothingYet: true });
    expect(await ended).toBe(0);
  });
});
