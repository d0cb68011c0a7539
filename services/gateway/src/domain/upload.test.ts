import { describe, expect, it } from 'vitest';
import { OpenUpload, postOrder, type UploadRecord, uploadOfPart } from './upload.ts';

const record = (changes: Partial<UploadRecord> = {}): UploadRecord => ({
  session: 's1',
  task: { taskId: 't', runId: 9n, nodeId: 1n },
  replyId: 'root',
  head: Buffer.alloc(0),
  partIds: ['a', 'b', 'root'],
  runtimeSeconds: 0,
  announcedAt: 0,
  traceparent: '',
  verdict: null,
  ...changes,
});

describe('announced tree', () => {
  it('is wanted children first, each id once', () => {
    const leaf = { id: 'leaf', children: [] };
    const tree = { id: 'root', children: [{ id: 'a', children: [leaf] }, { id: 'b', children: [leaf] }, leaf] };
    expect(postOrder(tree)).toEqual(['leaf', 'a', 'b', 'root']);
  });

  it('may be as deep as it likes without exhausting the stack', () => {
    let tree = { id: '0', children: [] as { id: string; children: never[] }[] };
    for (let depth = 1; depth < 50_000; depth += 1) tree = { id: String(depth), children: [tree as never] };
    expect(postOrder(tree)).toHaveLength(50_000);
  });
});

describe('open upload', () => {
  it('wants what is missing, in the announced order, and is complete when nothing is', () => {
    const upload = new OpenUpload(record(), ['root', 'a', 'stranger']);
    expect(upload.wanted()).toEqual(['a', 'root']);
    upload.stored(['a']);
    upload.stored(['a']);
    expect(upload.isComplete).toBe(false);
    expect(upload.likelyMissing(5)).toEqual(['root']);
    upload.stored(['root']);
    expect(upload.isComplete).toBe(true);
    expect(upload.announces('b')).toBe(true);
    expect(upload.announces('stranger')).toBe(false);
  });
});

describe('the upload of a pushed part', () => {
  const first = new OpenUpload(record(), []);
  const other = new OpenUpload(
    record({ session: 's2', replyId: 'root2', partIds: ['b', 'root2'], announcedAt: 5 }),
    [],
  );
  const settled = new OpenUpload(record({ session: 's3', announcedAt: 9, verdict: { accepted: true } }), []);
  const all = [first, other, settled];

  it.each([
    ['its session', { partId: 'b', session: 's1' }, first],
    ['an older session, newest announcement', { partId: 'b', session: 'gone' }, other],
    ['no session at all', { partId: 'a', session: '' }, first],
    ['the session of a settled upload', { partId: 'a', session: 's3' }, settled],
  ])('is found by %s', (_name, part, expected) => {
    expect(uploadOfPart(all, { runId: 9n, ...part })).toBe(expected);
  });

  it('is the settled one when only that announced the part', () => {
    expect(uploadOfPart([settled], { runId: 9n, partId: 'a', session: 'gone' })).toBe(settled);
  });

  it.each([
    ['never announced', 9n, 'zzz'],
    ['announced for another run', 8n, 'a'],
  ])('does not exist for a part %s', (_name, runId, partId) => {
    expect(() => uploadOfPart(all, { runId, partId, session: 's1' })).toThrow(
      expect.objectContaining({ code: 'PART_NOT_ANNOUNCED' }),
    );
  });
});
