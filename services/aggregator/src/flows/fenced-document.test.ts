import { AegisError } from '@aegis/errors';
import { FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { type Kept, StaleWrite } from '../store/contract.ts';
import { FencedDocument, OwnershipLost } from './fenced-document.ts';

interface Doc {
  readonly runId: bigint;
  readonly n: number;
  readonly more?: ReadonlyMap<string, bigint>;
}

/** One row; `before` may fail a write on its way there, `after` on its way back. */
class Row {
  kept: Kept<Doc> | null = null;
  before: (() => void) | undefined;
  after: (() => void) | undefined;
  get = async () => this.kept;
  save = async (value: Doc, revision: number | null) => {
    once(this, 'before');
    if ((this.kept?.revision ?? null) !== revision) throw new StaleWrite('row');
    this.kept = { value, revision: (revision ?? 0) + 1 };
    once(this, 'after');
    return this.kept.revision;
  };
}
const once = (row: Row, which: 'before' | 'after'): void => {
  const act = row[which];
  row[which] = undefined;
  act?.();
};
const away = () => {
  throw new AegisError('STORE_UNAVAILABLE');
};
const doc = (n: number): Doc => ({ runId: 1n, n, more: new Map([['a', 2n ** 64n - 1n]]) });

const setUp = () => {
  const row = new Row();
  const clock = new FakeClock();
  const abort = new AbortController();
  const document = new FencedDocument<Doc>(row, null, clock, abort.signal);
  return { row, clock, abort, document };
};
/** Lets retries happen without waiting for them. */
const running = async <T>(clock: FakeClock, work: Promise<T>): Promise<T> => {
  let over = false;
  const done = () => {
    over = true;
  };
  work.then(done, done);
  while (!over) await clock.advance(1000);
  return work;
};

describe('a fenced document', () => {
  it('is written by its one writer, again and again', async () => {
    const { row, document } = setUp();
    for (const n of [1, 2, 3]) await document.save(doc(n));
    expect(row.kept).toEqual({ value: doc(3), revision: 3 });
    expect(document.value).toEqual(doc(3));
  });

  it('is not written by who was overtaken', async () => {
    const { row, clock, document } = setUp();
    await document.save(doc(1));
    const next = new FencedDocument<Doc>(row, row.kept, clock, new AbortController().signal);
    await next.save(doc(2));
    await expect(document.save(doc(9))).rejects.toThrow(OwnershipLost);
    expect(row.kept?.value).toEqual(doc(2));
  });

  it('waits for a store that is away', async () => {
    const { row, clock, document } = setUp();
    row.before = away;
    await running(clock, document.save(doc(1)));
    expect(row.kept?.value).toEqual(doc(1));
  });

  it('recognises its own write when the answer was lost', async () => {
    const { row, clock, document } = setUp();
    row.after = away;
    await running(clock, document.save(doc(1)));
    expect(row.kept).toEqual({ value: doc(1), revision: 1 });
    await document.save(doc(2));
    expect(row.kept?.value).toEqual(doc(2));
  });

  it("does not take another's write for its own", async () => {
    const { row, clock, document } = setUp();
    await document.save(doc(1));
    row.before = () => {
      row.kept = { value: doc(7), revision: 2 };
      away();
    };
    await expect(running(clock, document.save(doc(2)))).rejects.toThrow(OwnershipLost);
  });

  it('stops waiting when it is told to', async () => {
    const { row, clock, abort, document } = setUp();
    row.before = away;
    const saving = document.save(doc(1));
    await clock.advance(0);
    abort.abort(new AegisError('DRAINING'));
    await expect(saving).rejects.toMatchObject({ code: 'DRAINING' });
  });

  it('does not repeat what can never work', async () => {
    const { row, document } = setUp();
    row.before = () => {
      throw new Error('too large');
    };
    await expect(document.save(doc(1))).rejects.toThrow('too large');
  });
});
