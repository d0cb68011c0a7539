import { eventually, withNats } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { type Bucket, BusConflict, fromKeyPart, keyPart, type WatchItem } from './contract.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('bucket', () => {
  const nats = withNats();

  it('creates once: the second creation of a key conflicts', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    const revision = await runs.create('a', bytes('1'));
    await expect(runs.create('a', bytes('2'))).rejects.toBeInstanceOf(BusConflict);
    expect(await runs.get('a')).toEqual({ value: bytes('1'), revision });
  });

  it('updates by compare-and-set: of two writers with the same revision one wins', async () => {
    const one = await (await nats().connect()).bucket('runs');
    const two = await (await nats().connect()).bucket('runs');
    const revision = await one.create('cas', bytes('0'));
    const outcomes = await Promise.allSettled([
      one.update('cas', bytes('one'), revision),
      two.update('cas', bytes('two'), revision),
    ]);
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const lost = outcomes.find((outcome) => outcome.status === 'rejected');
    expect(lost?.reason).toBeInstanceOf(BusConflict);
  });

  it('knows no key that was never written, and none that was deleted', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    expect(await runs.get('never')).toBeNull();
    await runs.put('gone', bytes('x'));
    await runs.delete('gone');
    expect(await runs.get('gone')).toBeNull();
  });

  it('deletes by compare-and-set, and creates again over a deletion', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    const revision = await runs.create('again', bytes('1'));
    await runs.update('again', bytes('2'), revision);
    await expect(runs.delete('again', revision)).rejects.toBeInstanceOf(BusConflict);
    await runs.delete('again');
    await runs.create('again', bytes('3'));
    expect((await runs.get('again'))?.value).toEqual(bytes('3'));
  });

  it('creates once and for all where nothing deleted may come back', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    const revision = await runs.createOnce('once', bytes('1'));
    await expect(runs.createOnce('once', bytes('2'))).rejects.toBeInstanceOf(BusConflict);
    await runs.delete('once', revision);
    await expect(runs.createOnce('once', bytes('3'))).rejects.toBeInstanceOf(BusConflict);
    await runs.delete('never-there');
    await expect(runs.createOnce('never-there', bytes('4'))).rejects.toBeInstanceOf(BusConflict);
    expect([await runs.get('once'), await runs.get('never-there')]).toEqual([null, null]);
  });

  it('lists whole parts of keys: 4 does not list 42', async () => {
    const tasks = await (await nats().connect()).bucket('tasks');
    await tasks.put('4.x', bytes('a'));
    await tasks.put('42.y', bytes('b'));
    await tasks.put('42.z', bytes('c'));
    await tasks.delete('42.z');
    expect(await keysOf(tasks, '4')).toEqual(['4.x']);
    expect(await keysOf(tasks, '42.')).toEqual(['42.y']);
    expect((await keysOf(tasks)).toSorted()).toEqual(['4.x', '42.y']);
    expect(await keysOf(tasks, 'nothing')).toEqual([]);
  });

  it('carries a value of several MB and refuses one too large with both sizes', async () => {
    const plans = await (await nats().connect()).bucket('plans');
    const value = Buffer.alloc(6_000_000, 'v');
    await plans.put('big', value);
    expect((await plans.get('big'))?.value.equals(value)).toBe(true);
    await expect(plans.put('bigger', Buffer.alloc(9_000_000))).rejects.toMatchObject({
      code: 'BODY_TOO_LARGE',
      detail: expect.stringContaining('9000000'),
    });
  });

  it('refuses a key NATS would take as a pattern', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    for (const key of ['', 'a.*', '>', 'a..b', 'a b', '.a']) await expect(runs.put(key, bytes('x'))).rejects.toThrow();
  });

  it('watches: what is there, complete, then changes and deletions', async () => {
    const leases = await (await nats().connect()).bucket('leases');
    await leases.put('w.a', bytes('1'));
    const stop = new AbortController();
    const seen = collect(leases, 'w', stop.signal);
    await eventually(() => seen.items.includes('complete'));
    await leases.put('w.b', bytes('2'));
    await leases.delete('w.a');
    await eventually(() => seen.items.length === 4);
    expect(seen.items).toEqual(['w.a=1 initial', 'complete', 'w.b=2', 'w.a deleted']);
    stop.abort();
    await seen.done;
  });

  it('completes the watch of an empty bucket at once', async () => {
    const rounds = await (await nats().connect()).bucket('rounds');
    const stop = new AbortController();
    const seen = collect(rounds, undefined, stop.signal);
    await eventually(() => seen.items.length === 1);
    expect(seen.items).toEqual(['complete']);
    stop.abort();
    await seen.done;
  });
});

describe('keyPart', () => {
  it('makes any text a key part and back', () => {
    const name = 'a name/with. dots * and >';
    expect(keyPart(name)).toMatch(/^[-_A-Za-z0-9]+$/);
    expect(fromKeyPart(keyPart(name))).toBe(name);
  });
});

const keysOf = async (bucket: Bucket, prefix?: string): Promise<string[]> =>
  (await Array.fromAsync(bucket.entries(prefix))).map((entry) => entry.key);

const collect = (bucket: Bucket, prefix: string | undefined, signal: AbortSignal) => {
  const items: string[] = [];
  const done = (async () => {
    for await (const item of bucket.watch(prefix, signal)) items.push(wordsOf(item));
  })();
  return { items, done };
};

const wordsOf = (item: WatchItem): string => {
  if (item.type === 'complete') return 'complete';
  const value = item.value === null ? ' deleted' : `=${item.value}`;
  return `${item.key}${value}${item.initial ? ' initial' : ''}`;
};
