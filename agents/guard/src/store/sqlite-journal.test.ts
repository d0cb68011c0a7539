import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, stat } from 'node:fs/promises';
import { type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer, AnswerRecord } from '../domain/answer.ts';
import type { MaskedRound } from '../domain/masked-round.ts';
import { SqliteJournal } from './sqlite-journal.ts';

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await temporaryFolder('journal');
});
afterEach(() => folder.remove());

const now = 1_800_000_000_000;
const update: Answer = {
  outcome: 'update',
  parts: [{ partId: 'ab', file: 'cd', offset: 128, length: 10 }],
  tensors: [{ name: 'w', partIds: ['ab', 'ab'] }],
  metrics: [
    { key: 'n', value: { kind: 'integer', value: 2n ** 62n + 1n } },
    { key: 'loss', value: { kind: 'real', value: Number.NaN } },
    { key: 'raw', value: { kind: 'data', value: Buffer.from([0, 255]) } },
  ],
};
const record = (taskId: string, changes: Partial<AnswerRecord> = {}): AnswerRecord => ({
  ...{ taskId, runId: 2n ** 64n - 1n, answer: update, bytes: 10, answeredAt: now, verdict: null },
  ...changes,
});
const failure: Answer = { outcome: 'failure', code: 7, reason: 'no' };

describe('the journal', () => {
  it("is its owner's alone", async () => {
    await chmod(folder.path, 0o755);
    SqliteJournal.open(folder.path, now).close();
    expect((await stat(folder.path)).mode & 0o077).toBe(0);
  });

  it('remembers everything as it was over a restart', () => {
    const first = SqliteJournal.open(folder.path, now);
    const run = {
      ...{ runId: 2n ** 64n - 1n, seriesId: 3n, appId: 'a/b', appVersion: '1', appHash: 'f', federation: '' },
      overrides: [{ key: 'lr', value: { kind: 'real' as const, value: 0.5 } }],
    };
    first.rememberNode(2n ** 63n);
    first.rememberRun(run);
    first.answer(record('t1'));
    first.close();
    const second = SqliteJournal.open(folder.path, now);
    expect(second.nodeId()).toBe(2n ** 63n);
    expect(second.run(run.runId)).toEqual(run);
    expect(second.answerTo('t1')).toEqual(record('t1'));
    expect(second.unsettled()).toEqual([record('t1')]);
    second.close();
  });

  it('holds one answer to a task: a second one changes nothing, and the first is told', () => {
    const journal = SqliteJournal.open(folder.path, now);
    journal.answer(record('t1'));
    expect(journal.answer(record('t1', { answer: failure }))).toEqual(record('t1'));
    journal.settle('t1', { accepted: true, code: '', detail: '' });
    journal.settle('t1', { accepted: false, code: 'TASK_CLOSED', detail: '' });
    expect(journal.answerTo('t1')?.verdict).toEqual({ accepted: true, code: '', detail: '' });
    expect(journal.unsettled()).toEqual([]);
    journal.close();
  });

  it('keeps to what a run was first', () => {
    const journal = SqliteJournal.open(folder.path, now);
    const run = { runId: 1n, seriesId: 1n, appId: 'a', appVersion: '1', appHash: 'f', federation: '', overrides: [] };
    journal.rememberRun(run);
    journal.rememberRun({ ...run, appHash: 'e' });
    expect(journal.run(1n)?.appHash).toBe('f');
    journal.close();
  });

  it('counts what left, not what was refused', () => {
    const journal = SqliteJournal.open(folder.path, now);
    journal.answer(record('t1', { bytes: 100, answeredAt: now - 10 }));
    journal.answer(record('t2', { bytes: 20, answeredAt: now }));
    journal.answer(record('t3', { answer: failure, bytes: -1 }));
    expect(journal.spentSince(now - 11)).toEqual({ answers: 2, bytes: 120 });
    expect(journal.spentSince(now - 10)).toEqual({ answers: 1, bytes: 20 });
    journal.close();
  });

  describe('of masked rounds', () => {
    const kept = { tensors: [], metrics: [0.5], withheld: ['age'], weight: 10 };
    const roundOf = (taskId: string, round = 1n): MaskedRound => ({
      task: {
        ...{ taskId, runId: 7n, round: 1, kind: 'train', config: [], createdAt: now / 1000, ttl: 600, groupId: '' },
        layout: { dialect: 'message', arrayRecordKey: '', configRecordKey: '', weightedByKey: '' },
        model: null,
        masking: {
          ...{ cohort: 5, plan: 'ab', round, degree: 4, threshold: 3, minSurvivors: 4, bits: 23, length: 10 },
          grid: {
            ...{
              clip: 1,
              ownClips: {},
              metrics: [],
              valueBits: 16,
              weightMax: 1,
              maxExamples: 1,
              normClip: null,
              noiseSigma: null,
            },
          },
        },
      },
      ...{ stage: 'advertise', answer: 'the advert', update: null, over: null },
    });

    it('keeps how far each is, what was said and the SuperNode’s answer, over a restart', () => {
      const first = SqliteJournal.open(folder.path, now);
      expect(first.beginRound(roundOf('t1'), null)).toBe(true);
      first.keepUpdate('t1', kept);
      first.advanceRound('t1', 'share', 'the shares');
      first.close();
      const second = SqliteJournal.open(folder.path, now);
      const expected = { ...roundOf('t1'), stage: 'share', answer: 'the shares', update: kept };
      expect(second.masked('t1')).toEqual(expected);
      expect(second.openRounds()).toEqual([expected]);
      expect(second.lastMasking(7n)?.round).toBe(1n);
      expect(second.lastMasking(8n)).toBe(null);
      second.close();
    });

    it('begins one of these terms once, whatever the task is called', () => {
      const journal = SqliteJournal.open(folder.path, now);
      expect(journal.beginRound(roundOf('t1'), null)).toBe(true);
      expect(journal.beginRound(roundOf('t2'), null)).toBe(false);
      expect(journal.beginRound(roundOf('t1', 2n), null)).toBe(false);
      expect(journal.beginRound(roundOf('t2', 2n), null)).toBe(true);
      expect(journal.masked('t2')?.task.masking?.round).toBe(2n);
      journal.close();
    });

    it('takes the vector and its stage together, and only as the first answer', () => {
      const journal = SqliteJournal.open(folder.path, now);
      journal.beginRound(roundOf('t1'), null);
      expect(journal.maskRound(record('t1'))).toBe(true);
      expect(journal.masked('t1')).toMatchObject({ stage: 'mask', answer: '' });
      expect(journal.answerTo('t1')).toEqual(record('t1'));
      journal.beginRound(roundOf('t2', 2n), null);
      journal.answer(record('t2', { answer: failure }));
      expect(journal.maskRound(record('t2'))).toBe(false);
      expect(journal.masked('t2')?.stage).toBe('advertise');
      expect(journal.answerTo('t2')?.answer).toEqual(failure);
      journal.close();
    });

    it('keeps what noised sums were charged for good, and gives back what never left', () => {
      const first = SqliteJournal.open(folder.path, now);
      for (const [at, event] of ['a', 'a', 'b', 'b'].entries()) {
        expect(first.beginRound(roundOf(`t${at}`, BigInt(at)), event)).toBe(true);
      }
      expect(first.beginRound(roundOf('t9', 0n), 'a')).toBe(false);
      expect(first.noiseCharges()).toEqual([
        { event: 'a', count: 2 },
        { event: 'b', count: 2 },
      ]);
      first.maskRound(record('t0'));
      first.endRound('t0', 'done');
      first.advanceRound('t2', 'share', 'the shares');
      first.endRound('t2', 'SURVIVORS_TOO_FEW');
      first.endRound('t2', 'again');
      first.fixNoiseOrder(12);
      first.close();
      const later = SqliteJournal.open(folder.path, now + 400 * 86_400_000);
      expect(later.masked('t0')).toBe(null);
      expect(later.noiseCharges()).toEqual([
        { event: 'a', count: 2 },
        { event: 'b', count: 1 },
      ]);
      later.fixNoiseOrder(30);
      expect(later.noiseOrder()).toBe(12);
      later.close();
    });

    it('knows the first reason why one is over, and nothing of its content after that', () => {
      const journal = SqliteJournal.open(folder.path, now);
      journal.beginRound(roundOf('t1'), null);
      journal.endRound('t1', 'KEY_SUBSTITUTED');
      journal.endRound('t1', 'withdrawn');
      journal.keepUpdate('t1', kept);
      journal.advanceRound('t1', 'share', 'the shares');
      expect(journal.masked('t1')).toMatchObject({ over: 'KEY_SUBSTITUTED', answer: '', update: null });
      expect(journal.openRounds()).toEqual([]);
      journal.close();
    });
  });

  it('is one process’s, and free when that process is gone, however it went', async () => {
    const script = `
      const { SqliteJournal } = await import(${JSON.stringify(new URL('./sqlite-journal.ts', import.meta.url).href)});
      const journal = SqliteJournal.open(${JSON.stringify(folder.path)}, 0);
      journal.rememberNode(5n);
      console.log('open');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    expect(() => SqliteJournal.open(folder.path, now)).toThrow(expect.objectContaining({ code: 'GUARD_LOCKED' }));
    expect(SqliteJournal.openToRead(folder.path)?.nodeId()).toBe(5n);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const journal = SqliteJournal.open(folder.path, now);
    expect(journal.nodeId()).toBe(5n);
    journal.close();
  });
});
