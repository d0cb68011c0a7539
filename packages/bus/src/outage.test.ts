import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, startTestNats, type TestNats } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Bucket, Bus } from './contract.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

// Every test kills and restarts its own real server.
describe('bus through an outage', () => {
  let nats: TestNats;
  let bus: Bus;
  beforeEach(async () => {
    nats = await startTestNats();
    bus = await nats.connect();
  });
  afterEach(() => nats.stop());

  it('keeps every acknowledged write across kill -9', async () => {
    const runs = await bus.bucket('runs');
    const revisions = await Promise.all(Array.from({ length: 50 }, (_, i) => runs.put(`k${i}`, bytes(`v${i}`))));
    await nats.kill();
    await nats.restart();
    for (const [i, revision] of revisions.entries()) {
      expect(await runs.get(`k${i}`)).toEqual({ value: bytes(`v${i}`), revision });
    }
  });

  it('answers STORE_UNAVAILABLE after the bound, and works again once the server is back', async () => {
    const impatient = await (await nats.connect({ outageWaitMs: 300 })).bucket('runs');
    await nats.kill();
    await expect(impatient.put('a', bytes('1'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await expect(impatient.get('a')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await expect(Array.fromAsync(impatient.entries())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await nats.restart();
    await eventually(() => impatient.put('a', bytes('2')));
    expect((await impatient.get('a'))?.value).toEqual(bytes('2'));
  });

  it('lets calls wait for a server that comes back within the bound', async () => {
    const runs = await bus.bucket('runs');
    const revision = await runs.create('cas', bytes('0'));
    await nats.kill();
    const waiting = [
      runs.update('cas', bytes('1'), revision),
      runs.create('new', bytes('n')),
      runs.get('new'),
    ] as const;
    await nats.restart();
    await Promise.all(waiting);
    expect((await runs.get('cas'))?.value).toEqual(bytes('1'));
  });

  it('never conflicts with itself while the server is killed under its writes', async () => {
    const runs = await bus.bucket('runs');
    let revision = await runs.create('counter', bytes('0'));
    let stop = false;
    const writer = (async () => {
      let n = 0;
      while (!stop) {
        n += 1;
        revision = await runs.update('counter', bytes(String(n)), revision);
      }
      return n;
    })();
    for (let i = 0; i < 3; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      await nats.kill();
      await nats.restart();
    }
    stop = true;
    const n = await writer;
    expect((await runs.get('counter'))?.value.toString()).toBe(String(n));
  });

  it('resumes a watch: missed changes and deletions follow, nothing comes twice', async () => {
    const tasks = await bus.bucket('tasks');
    await tasks.put('1.a', bytes('a'));
    await tasks.put('1.b', bytes('b'));
    const stop = new AbortController();
    const seen: string[] = [];
    const done = watchInto(tasks, seen, stop.signal);
    await eventually(() => seen.length === 3);
    expect(seen.toSorted()).toEqual(['1.a=a', '1.b=b', 'complete']);
    seen.length = 0;

    for (let i = 0; i < 2; i += 1) {
      await nats.kill();
      await nats.restart();
      // Written the moment the server is back, perhaps before the watch is.
      await tasks.put(`1.c${i}`, bytes('c'));
      await tasks.delete(i === 0 ? '1.a' : '1.b');
      await tasks.put(`1.d${i}`, bytes('d'));
    }
    await tasks.put('1.end', bytes('.'));
    await eventually(() => seen.includes('1.end=.'));
    expect(seen.toSorted()).toEqual(['1.a gone', '1.b gone', '1.c0=c', '1.c1=c', '1.d0=d', '1.d1=d', '1.end=.']);
    stop.abort();
    await done;
  });

  it('reports a store that was replaced as deletions of what it held', async () => {
    const runs = await bus.bucket('runs');
    await runs.put('old', bytes('1'));
    const stop = new AbortController();
    const seen: string[] = [];
    const done = watchInto(runs, seen, stop.signal);
    await eventually(() => seen.length === 2);
    await nats.kill();
    await rm(join(nats.storeDir, 'jetstream'), { recursive: true });
    await nats.restart();
    await (await nats.connect()).bucket('runs');
    await eventually(() => seen.includes('old gone'));
    stop.abort();
    await done;
  });

  it('loses events instead of delivering them late', async () => {
    const stop = new AbortController();
    const events = await bus.subscribe('run-changed', stop.signal);
    const seen: bigint[] = [];
    const done = (async () => {
      for await (const { message } of events) seen.push(message.runId);
    })();
    bus.publish('run-changed', { runId: 1n });
    await eventually(() => seen.length === 1);
    await nats.kill();
    await eventually(() => !bus.ready());
    bus.publish('run-changed', { runId: 2n });
    await nats.restart();
    await eventually(() => bus.ready());
    await eventually(() => {
      bus.publish('run-changed', { runId: 3n });
      return seen.includes(3n);
    });
    expect(seen).not.toContain(2n);
    stop.abort();
    await done;
  });

  it('goes on following a run log without a gap or a repetition', async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    await bus.appendRunLog(7n, 'one');
    const done = (async () => {
      for await (const { text } of bus.readRunLog(7n, 0, true, stop.signal)) lines.push(text);
    })();
    await eventually(() => lines.length === 1);
    await nats.kill();
    await nats.restart();
    await bus.appendRunLog(7n, 'two');
    await bus.appendRunLog(7n, 'three');
    await eventually(() => lines.length === 3);
    expect(lines).toEqual(['one', 'two', 'three']);
    stop.abort();
    await done;
  });

  it('tells its listeners when the server goes and when it is back', async () => {
    const changes: boolean[] = [];
    bus.onStatus((up) => changes.push(up));
    await nats.kill();
    await eventually(() => changes.length === 1);
    await nats.restart();
    await eventually(() => changes.length === 2);
    expect(changes).toEqual([false, true]);
  });

  it('closes during an outage', async () => {
    await nats.kill();
    await eventually(() => !bus.ready());
    await bus.close();
    await nats.restart();
  });
});

const watchInto = async (bucket: Bucket, seen: string[], signal: AbortSignal): Promise<void> => {
  for await (const item of bucket.watch(undefined, signal)) {
    if (item.type === 'complete') seen.push('complete');
    else seen.push(item.value === null ? `${item.key} gone` : `${item.key}=${item.value}`);
  }
};
