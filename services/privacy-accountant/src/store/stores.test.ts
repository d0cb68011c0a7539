import { randomBytes } from 'node:crypto';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@aegis/service-kit';
import { startTestNats, temporaryFolder } from '@aegis/testkit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Book } from '../domain/book.ts';
import { storesSuite } from './conformance.ts';
import { BEGINNING } from './contract.ts';
import { FileAnchor } from './durable/file-anchor.ts';
import { openDurableStores } from './durable/index.ts';
import { ledgerKey, statementKey } from './durable/keys.ts';
import { readEntry, writeEntry } from './entry-text.ts';
import { MemoryPlace, memoryStores } from './memory/index.ts';
import { readPage, writePage } from './page-text.ts';
import { openSnapshot, sealSnapshot } from './snapshot-text.ts';

storesSuite('memory', async () => {
  const place = new MemoryPlace();
  return { subject: { stores: memoryStores(place), other: memoryStores(place) } };
});

storesSuite('durable', async () => {
  const nats = await startTestNats();
  const folder = await temporaryFolder('ledger-stores');
  const stores = await openDurableStores(await nats.connect(), folder.path);
  const other = await openDurableStores(await nats.connect(), folder.path);
  const end = async () => {
    await Promise.all([stores.close(), other.close()]);
    await nats.stop();
    await folder.remove();
  };
  return { subject: { stores, other }, end };
});

const damaged = { code: 'PRIVACY_LEDGER_DAMAGED' };
const at = 1_750_000_000_000;

describe('a page', () => {
  const key = new Secret('k'.repeat(64));
  const entries = [1, 2, 3].map((epoch) => ({ at, kind: 'opened' as const, epoch, writer: 'w' }));
  const { page, position } = writePage(entries, 1, BEGINNING, key);

  it('is refused with any bit changed, any byte missing, and behind another page', () => {
    for (let byte = 0; byte < page.length; byte += 1) {
      const changed = Buffer.from(page);
      changed[byte] = (changed[byte] as number) ^ (1 << (byte % 8));
      expect(() => readPage(changed, BEGINNING, key), `byte ${byte}`).toThrow(expect.objectContaining(damaged));
      expect(() => readPage(page.subarray(0, byte), BEGINNING, key)).toThrow(expect.objectContaining(damaged));
    }
    expect(() => readPage(page, position, key)).toThrow(expect.objectContaining(damaged));
    expect(() => readPage(page, BEGINNING, new Secret('x'.repeat(64)))).toThrow(expect.objectContaining(damaged));
    expect(readPage(page, BEGINNING, key).entries.map(({ entry }) => entry)).toEqual(entries);
  });

  it('is refused, and nothing else, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
        expect(() => readPage(bytes, BEGINNING, key)).toThrow(expect.objectContaining(damaged));
      }),
    );
  });
});

describe('a snapshot', () => {
  const key = new Secret('k'.repeat(64));
  const head = 'a'.repeat(64);
  const sealed = sealSnapshot({ before: BEGINNING, position: { page: 1, entries: 1, head }, book: new Book() }, key);

  it('is refused with any bit changed, any byte missing, and with another key', () => {
    for (let byte = 0; byte < sealed.length; byte += 1) {
      const changed = Buffer.from(sealed);
      changed[byte] = (changed[byte] as number) ^ (1 << (byte % 8));
      expect(() => openSnapshot(changed, key), `byte ${byte}`).toThrow(expect.objectContaining(damaged));
      expect(() => openSnapshot(sealed.subarray(0, byte), key)).toThrow(expect.objectContaining(damaged));
    }
    expect(() => openSnapshot(sealed, new Secret('x'.repeat(64)))).toThrow(expect.objectContaining(damaged));
    expect(openSnapshot(sealed, key).position.head).toBe(head);
  });

  it('shows nobody without the key what it says', () => {
    expect(sealed.toString('latin1')).not.toContain(head);
  });
});

describe('an entry', () => {
  it('is read or refused, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), nearEntry()), (text) => {
        try {
          expect(readEntry(writeEntry(readEntry(text)))).toEqual(readEntry(text));
        } catch (error) {
          expect(error).toMatchObject(damaged);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(['0-2147483648', '5-1', '3 3', '2 1', '0-100000', '', '-1', '1-', '0-1 1-2'])(
    'does not take %j for units',
    (units) => {
      const text = JSON.stringify({
        kind: 'reserved',
        at,
        id: 'r',
        key: 'k',
        digest: 'd',
        runId: '1',
        newUnits: [],
        units,
        events: [],
      });
      expect(() => readEntry(text)).toThrow(expect.objectContaining(damaged));
    },
  );
});

function nearEntry(): fc.Arbitrary<string> {
  const anything = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.double(),
    fc.constant(null),
    fc.array(fc.string()),
    fc.constant('1-5 7'),
  );
  const keys = [
    'at',
    'id',
    'key',
    'digest',
    'runId',
    'newUnits',
    'units',
    'events',
    'epoch',
    'writer',
    'result',
    'inTheClear',
  ];
  const kind = fc.constantFrom('opened', 'accepted', 'budget', 'run', 'reserved', 'committed', 'released');
  return fc
    .tuple(kind, fc.dictionary(fc.constantFrom(...keys), anything))
    .map(([named, rest]) => JSON.stringify({ ...rest, kind: named, at }));
}

describe('the anchor file', () => {
  const key = new Secret('k'.repeat(64));
  const positions = [1, 2, 3, 4].map((page) => ({ page, entries: 2 * page, head: page.toString().repeat(64) }));
  const written = async (path: string) => {
    const anchor = new FileAnchor(path, key);
    for (const position of positions) await anchor.write(position);
    await anchor.close();
    return anchor;
  };

  it('has the mark before, when the newest was torn', async () => {
    await using folder = await temporaryFolder('anchor');
    const path = join(folder.path, 'anchor');
    const anchor = await written(path);
    const content = await readFile(path);
    content.fill(0x20, 60, 512); // page 4 lies in the first slot
    await writeFile(path, content);
    expect(await anchor.read()).toEqual(positions[2]);
  });

  it('is refused when no mark is genuine, or with another key', async () => {
    await using folder = await temporaryFolder('anchor');
    const path = join(folder.path, 'anchor');
    await written(path);
    await expect(new FileAnchor(path, new Secret('x'.repeat(64))).read()).rejects.toMatchObject(damaged);
    await writeFile(path, randomBytes(1024));
    await expect(new FileAnchor(path, key).read()).rejects.toMatchObject(damaged);
  });

  it('is its owner’s alone, and as long as it will ever be from the start', async () => {
    await using folder = await temporaryFolder('anchor');
    const path = join(folder.path, 'anchor');
    await written(path);
    const { mode, size } = await stat(path);
    expect([mode & 0o777, size]).toEqual([0o600, 1024]);
  });
});

describe('the keys', () => {
  it('are made once, 0600, and refused when others may read them', async () => {
    await using folder = await temporaryFolder('keys');
    const file = join(folder.path, 'ledger.key');
    const first = await ledgerKey(file);
    expect((await ledgerKey(file)).reveal()).toBe(first.reveal());
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await chmod(file, 0o640);
    await expect(ledgerKey(file)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('say which file is no key, and not what is in it', async () => {
    await using folder = await temporaryFolder('keys');
    const file = join(folder.path, 'bad');
    await writeFile(file, 'secret-looking text', { mode: 0o600 });
    for (const read of [ledgerKey, statementKey])
      await expect(read(file)).rejects.toSatisfy(
        (error: Error) => error.message.includes(file) && !JSON.stringify(error).includes('secret-looking'),
      );
  });
});
