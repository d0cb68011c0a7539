import { withNats } from '@aegis/testkit';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { BusConflict, type Journal } from './contract.ts';

describe('a journal', () => {
  const nats = withNats();
  const open = async (): Promise<Journal> => (await nats().connect()).journal('privacy-ledger');
  const texts = async (journal: Journal, after = 0): Promise<string[]> =>
    (await Array.fromAsync(journal.read(after))).map(({ content }) => content.toString());

  it('gives back what was appended, in order, to everybody', async () => {
    const journal = await open();
    expect(await texts(journal)).toEqual([]);
    expect(await journal.newest()).toBe(null);
    expect(await journal.append(Buffer.from('one'), 0)).toBe(1);
    expect(await journal.append(Buffer.from('two'), 1)).toBe(2);
    expect(await texts(await open())).toEqual(['one', 'two']);
    expect(await texts(journal, 1)).toEqual(['two']);
    expect(await texts(journal, 2)).toEqual([]);
    expect(await journal.newest()).toEqual({ sequence: 2, content: Buffer.from('two') });
  });

  it('lets one of two writers follow a record', async () => {
    const [a, b] = [await open(), await open()];
    const newest = (await Array.fromAsync(a.read(0))).length;
    const both = await Promise.allSettled([
      a.append(Buffer.from('a'), newest),
      b.append(Buffer.from('b'), newest),
      b.append(Buffer.from('c'), newest - 1),
    ]);
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of both) if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(BusConflict);
    expect(await texts(a, newest)).toHaveLength(1);
  });

  it('refuses a record that does not fit', async () => {
    const journal = await open();
    await expect(journal.append(Buffer.alloc(8 * 2 ** 20), 0)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' });
  });

  it('cannot be shortened through NATS', async () => {
    await open();
    const { url, credentials } = nats().server;
    const connection = await connect({
      servers: url,
      user: credentials.user,
      pass: credentials.password.reveal(),
    });
    const { streams } = await jetstreamManager(connection);
    await expect(streams.purge('JOURNAL_privacy-ledger')).rejects.toThrow();
    await expect(streams.deleteMessage('JOURNAL_privacy-ledger', 1)).rejects.toThrow();
    await connection.close();
  });

  it('has everything after kill -9 of the server, and goes on', async () => {
    const journal = await open();
    const before = await texts(journal);
    const sequence = await journal.append(Buffer.from('kept'), before.length);
    await nats().kill();
    await nats().restart();
    expect(await texts(journal)).toEqual([...before, 'kept']);
    expect(await journal.append(Buffer.from('more'), sequence)).toBe(sequence + 1);
  });
});
