import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChainedPages, type ChainPosition } from './chained-pages.ts';
import { Secret } from './secret.ts';

const BEGINNING: ChainPosition = { page: 0, entries: 0, head: '0'.repeat(64) };
const pagesOf = (key = 'a'.repeat(64), label = 'test history'): ChainedPages =>
  new ChainedPages(label, new Secret(key), (what) => new Error(`damaged: ${what}`));
const pages = pagesOf();
const first = pages.write(['one', 'two'], 1, BEGINNING);
const second = pages.write(['three'], 2, first.position);

describe('a history in chained pages', () => {
  it('gives back its lines, numbered and hashed over all before them', () => {
    expect(pages.read(first.page, BEGINNING)).toMatchObject({
      ...{ position: first.position, epoch: 1 },
      lines: [
        { sequence: 1, text: 'one' },
        { sequence: 2, text: 'two', hash: first.position.head },
      ],
    });
    const { lines, epoch } = pages.read(second.page, first.position);
    expect([epoch, lines]).toEqual([2, [{ sequence: 3, text: 'three', hash: second.position.head }]]);
    expect(pages.readAlone(second.page, 2).position).toEqual(second.position);
  });

  it('shows a page in another place, of another key, or of another history', () => {
    expect(() => pages.read(second.page, BEGINNING)).toThrow(/does not follow/);
    expect(() => pages.read(first.page, first.position)).toThrow(/does not follow/);
    expect(() => pages.readAlone(second.page, 3)).toThrow(/says that it is page 2/);
    for (const stranger of [pagesOf('b'.repeat(64)), pagesOf(undefined, 'other history')]) {
      expect(() => stranger.read(first.page, BEGINNING)).toThrow(/not written with this key/);
    }
  });

  it('takes nothing but what it wrote, whatever the bytes', () => {
    const isRead = (bytes: Uint8Array): boolean => {
      try {
        pages.read(bytes, BEGINNING);
        return true;
      } catch (error) {
        // Never anything but what whoever keeps the history says of damage.
        expect(String(error)).toMatch(/^Error: damaged: /);
        return false;
      }
    };
    const changed = fc
      .tuple(fc.nat(first.page.length - 1), fc.integer({ min: 1, max: 255 }))
      .map(([at, by]) => Buffer.from(first.page.map((byte, index) => (index === at ? byte ^ by : byte))));
    const cut = fc.nat(first.page.length - 1).map((length) => first.page.subarray(0, length));
    const longer = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((more) => Buffer.concat([first.page, more]));
    const any = fc.uint8Array({ maxLength: 512 });
    fc.assert(
      fc.property(fc.oneof(changed, cut, longer, any), (bytes) => {
        expect(isRead(bytes)).toBe(false);
      }),
      { numRuns: 4_000 },
    );
    expect(isRead(first.page)).toBe(true);
  });
});
