import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { eventually, type TemporaryFolder, temporaryFolder, withNats } from '@aegis/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { GatewayFixture, TOKEN } from '../../testing/gateway-fixture.ts';
import { RestClient } from '../../testing/rest-client.ts';
import { ScriptedAggregator } from '../../testing/scripted-aggregator.ts';
import { openApi } from './openapi.ts';

const nats = withNats();
let folder: TemporaryFolder;
let fixture: GatewayFixture;
let gateway: Awaited<ReturnType<GatewayFixture['gateway']>>;

beforeAll(async () => {
  folder = await temporaryFolder('rest-events');
  const file = join(folder.path, 'operators.json');
  const sha256 = createHash('sha256').update('veras-token').digest('hex');
  await writeFile(file, JSON.stringify({ operators: [{ name: 'vera', role: 'viewer', sha256 }] }), { mode: 0o600 });
  fixture = await GatewayFixture.open(nats(), new ScriptedAggregator());
  gateway = await fixture.gateway({ config: { rest: true, 'operators-file': file } });
});
afterAll(async () => {
  await fixture.close();
  await folder.remove();
});

const ask = (path: string, authorization?: string) =>
  new RestClient(gateway.target).plain('GET', path, { headers: authorization === undefined ? {} : { authorization } });

interface Stream {
  readonly head: IncomingMessage;
  /** Events so far, as their lines say them. */
  readonly events: { event: string; data: Record<string, unknown> }[];
  readonly ended: () => boolean;
}

const listen = (path: string, headers: Record<string, string>, { host, port } = gateway.target): Promise<Stream> =>
  new Promise((resolve, reject) => {
    const request = get({ host, port, path, headers, agent: false }, (head) => {
      const events: Stream['events'] = [];
      let [kept, ended] = ['', false];
      head.setEncoding('utf8').on('data', (piece: string) => {
        const blocks = (kept + piece).split('\n\n');
        kept = blocks.pop() ?? '';
        for (const block of blocks) {
          const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
          if (event !== undefined && data !== undefined) events.push({ event, data: JSON.parse(data) });
        }
      });
      head
        .on('error', () => {})
        .on('close', () => {
          ended = true;
        });
      resolve({ head, events, ended: () => ended });
    });
    request.on('error', reject);
    onTestFinished(() => {
      request.destroy();
    });
  });

describe('events', () => {
  it('tell a node of every task the moment it is there, once, and of every one that is withdrawn', async () => {
    const client = new RestClient(gateway.target);
    const nodeId = await client.register();
    const path = '/api/v1/tasks/events';
    const { head, events, ended } = await listen(path, await client.signed('GET', path));
    expect([head.statusCode, head.headers['content-type']]).toEqual([200, 'text/event-stream']);
    const first = await fixture.task(nodeId);
    await eventually(() => events.length === 1);
    const second = await fixture.task(nodeId);
    await eventually(() => events.length === 2);
    await fixture.withdraw(first);
    await eventually(() => events.length === 3);
    expect(events).toMatchObject([
      { event: 'task', data: { taskId: first.taskId, kind: 'train', model: { modelId: first.modelId } } },
      { event: 'task', data: { taskId: second.taskId } },
      { event: 'withdrawn', data: { taskId: first.taskId } },
    ]);
    // It is a node at work, whose answer counts like any other's.
    const failed = await client.call('POST', `/api/v1/tasks/${second.taskId}/fail`, { body: { reason: 'no data' } });
    expect(failed.json()).toEqual({ failed: true });
    // It has one loop: whoever asks anew takes its place.
    await client.call('GET', '/api/v1/tasks');
    await eventually(ended);
  });

  it('tell an operator how a run goes until it is over', async () => {
    const { head, events, ended } = await listen('/api/v1/runs/77/events', { authorization: 'Bearer veras-token' });
    expect(head.headers['content-type']).toBe('text/event-stream');
    await eventually(ended);
    expect(events).toMatchObject([
      { event: 'run', data: { run: { runId: '77', rounds: 3 }, message: 'running', nodes: [] } },
      { event: 'run', data: { message: 'finished', nodes: [{ nodeId: '5', state: 'answered', reason: '' }] } },
    ]);
    const unknown = await ask('/api/v1/runs/12x/events', `Bearer ${TOKEN}`);
    expect([unknown.status, unknown.json().code]).toEqual([404, 'RUN_NOT_FOUND']);
  });
});

describe('an operator’s events end', () => {
  const runs = new ScriptedAggregator();

  it('within a second of its token being taken back, and when the gateway drains', async () => {
    const own = join(folder.path, 'others.json');
    const named = (...names: string[]) => ({
      operators: names.map((name) => ({
        ...{ name, role: 'viewer', sha256: createHash('sha256').update(`${name}s-token`).digest('hex') },
      })),
    });
    await writeFile(own, JSON.stringify(named('ida', 'joe')), { mode: 0o600 });
    const lasting = await GatewayFixture.open(nats(), runs);
    const there = await lasting.gateway({ config: { rest: true, 'operators-file': own } });
    runs.addRun(99n);
    runs.watching = Promise.withResolvers<void>();
    const open = (name: string) =>
      listen('/api/v1/runs/99/events', { authorization: `Bearer ${name}s-token` }, there.target);
    const [ida, joe] = [await open('ida'), await open('joe')];
    await eventually(() => ida.events.length === 2 && joe.events.length === 2);
    await writeFile(own, JSON.stringify(named('joe')), { mode: 0o600 });
    await eventually(ida.ended);
    expect(joe.ended()).toBe(false);
    const closing = there.drain();
    await eventually(joe.ended);
    runs.watching.resolve();
    await closing;
    await lasting.close();
  });
});

describe('what operators see', () => {
  it('is what their role allows, by the same tokens as everywhere', async () => {
    const runs = await ask('/api/v1/runs?limit=1', 'Bearer veras-token');
    expect(runs.json()).toMatchObject({ runs: [{ runId: '77', appId: expect.any(String), privacy: null }] });
    const nodes = await ask('/api/v1/nodes', `Bearer ${TOKEN}`);
    expect(nodes.json()).toMatchObject({ nodes: expect.any(Array) });
    for (const path of ['/api/v1/runs', '/api/v1/nodes', '/api/v1/budgets', '/api/v1/runs/77/events'])
      for (const wrong of [undefined, 'Bearer nobodys', 'Basic dmVyYTp2ZXJh', 'Bearer']) {
        const { status, json } = await ask(path, wrong);
        expect([status, json().code]).toEqual([401, 'OPERATOR_UNAUTHENTICATED']);
      }
    const query = await ask('/api/v1/runs?limit=-1', 'Bearer veras-token');
    expect([query.status, query.json().code]).toEqual([400, 'REQUEST_MALFORMED']);
    // A node's signature opens none of it.
    const client = new RestClient(gateway.target);
    await client.register();
    expect((await client.call('GET', '/api/v1/budgets')).status).toBe(401);
  });

  it('stands in the document, with what it takes to ask', () => {
    const { paths } = openApi() as { paths: Record<string, Record<string, { security: unknown }>> };
    expect(paths['/api/v1/budgets']?.get?.security).toEqual([{ operator: [] }]);
  });
});
