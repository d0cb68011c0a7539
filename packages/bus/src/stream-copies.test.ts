import { startTestNats } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { openStreamCopies, type StreamHead } from './stream-copies.ts';

it('puts every stream into an empty server as it was, number by number, and into no other', async () => {
  const [from, to] = [await startTestNats(), await startTestNats()];
  try {
    const bus = await from.connect();
    const bucket = await bus.bucket('runs');
    const large = Buffer.alloc(3_000_000, 7);
    await bucket.put('a', Buffer.from('1'));
    const revision = await bucket.put('a', large);
    await bucket.delete('gone');
    const journal = await bus.journal('audit');
    for (let after = 0; after < 3; ) after = await journal.append(Buffer.from(`entry ${after}`), after);

    const copies = await openStreamCopies({
      servers: from.server.url,
      credentials: from.server.credentials,
      name: 'backup',
    });
    const saved: { head: StreamHead; pieces: Buffer[] }[] = [];
    for (const name of await copies.names()) {
      const pieces: Buffer[] = [];
      saved.push({ head: await copies.save(name, async (piece) => void pieces.push(piece)), pieces });
    }
    expect(await copies.keys('runs')).toEqual(['a']);
    expect(await copies.keys('leases')).toEqual([]);
    expect(await copies.lastSequence('KV_runs')).toBeGreaterThanOrEqual(revision);
    await expect(copies.save('nothing', async () => {})).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    // while it is there, a stream is not replaced
    const [one] = saved;
    if (one) await expect(copies.restore(one.head, all(one.pieces))).rejects.toThrow(/in use|exist/);
    await copies.close();

    const target = await openStreamCopies({
      servers: to.server.url,
      credentials: to.server.credentials,
      name: 'restore',
    });
    for (const { head, pieces } of saved) await target.restore(head, all(pieces));
    await target.close();
    const restored = await to.connect();
    const again = await restored.bucket('runs');
    expect(await again.get('a')).toEqual({ value: large, revision });
    await again.update('a', Buffer.from('2'), revision);
    const records = await Array.fromAsync((await restored.journal('audit')).read(0));
    expect(records.map(({ sequence, content }) => [sequence, String(content)])).toEqual([
      [1, 'entry 0'],
      [2, 'entry 1'],
      [3, 'entry 2'],
    ]);
    await (await restored.journal('audit')).append(Buffer.from('entry 3'), 3);
  } finally {
    await Promise.all([from.stop(), to.stop()]);
  }
});

async function* all(pieces: readonly Buffer[]): AsyncIterable<Buffer> {
  yield* pieces;
}
