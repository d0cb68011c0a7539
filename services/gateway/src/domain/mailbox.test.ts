import { describe, expect, it } from 'vitest';
import { MAX_OFFERS, Mailbox } from './mailbox.ts';
import type { Task } from './task.ts';

const task = (taskId: string, nodeId = 1n): Task => ({
  taskId,
  nodeId,
  runId: 9n,
  round: 1,
  kind: 'train',
  modelId: 'm',
  config: [],
  layout: { dialect: 'message', arrayRecordKey: 'arrays', configRecordKey: 'config', weightedByKey: 'num-examples' },
  createdAt: 0,
  ttl: 1,
  groupId: '',
  traceparent: '',
  deadline: 0,
  join: false,
});

describe('mailbox', () => {
  it('offers the oldest task first, whatever the order of arrival', () => {
    const mailbox = new Mailbox();
    for (const id of ['02', '01', '03']) expect(mailbox.put(task(id))).toBe(true);
    expect(mailbox.put(task('01'))).toBe(false);
    expect(mailbox.next(1n).task?.taskId).toBe('01');
    expect(mailbox.open(1n).map(({ taskId }) => taskId)).toEqual(['01', '02', '03']);
    expect(mailbox.size).toBe(3);
  });

  it("keeps one node's tasks from another", () => {
    const mailbox = new Mailbox();
    mailbox.put(task('01', 1n));
    expect(mailbox.next(2n)).toEqual({ task: null, exhausted: [] });
    expect(mailbox.find(2n, '01')).toBeNull();
  });

  it('offers a task again until it is answered, and gives it up after the last offer', () => {
    const mailbox = new Mailbox();
    mailbox.put(task('01'));
    mailbox.put(task('02'));
    for (let offer = 0; offer < MAX_OFFERS; offer += 1) {
      expect(mailbox.next(1n).task?.taskId).toBe('01');
      mailbox.offered(1n, '01');
    }
    const next = mailbox.next(1n);
    expect(next.task?.taskId).toBe('02');
    expect(next.exhausted.map(({ taskId }) => taskId)).toEqual(['01']);
    expect(mailbox.next(1n).exhausted).toEqual([]);
  });

  it('never offers a settled task again, although it is not withdrawn yet', () => {
    const mailbox = new Mailbox();
    mailbox.put(task('01'));
    mailbox.settle(1n, '01');
    expect(mailbox.next(1n).task).toBeNull();
    expect(mailbox.put(task('01'))).toBe(false);
    expect(mailbox.ofNode(1n)).toHaveLength(1);
    expect(mailbox.open(1n)).toEqual([]);
  });

  it('brings up again what nobody could be told of', () => {
    const mailbox = new Mailbox();
    mailbox.put(task('01'));
    for (let offer = 0; offer < MAX_OFFERS; offer += 1) mailbox.offered(1n, '01');
    expect(mailbox.next(1n).exhausted).toHaveLength(1);
    mailbox.reopen(1n, '01');
    expect(mailbox.next(1n).exhausted).toHaveLength(1);
    mailbox.reopen(1n, 'unknown');
  });

  it('stays settled when another try to tell its round fails', () => {
    const mailbox = new Mailbox();
    mailbox.put(task('01'));
    mailbox.telling(1n, '01');
    expect(mailbox.next(1n).task).toBeNull();
    mailbox.settle(1n, '01');
    mailbox.reopen(1n, '01');
    expect(mailbox.next(1n).task).toBeNull();
    expect(mailbox.open(1n)).toEqual([]);
  });

  it('knows who is at a task: offered and unanswered, or from before this gateway began', () => {
    const mailbox = new Mailbox();
    for (const id of ['01', '02']) mailbox.put(task(id));
    expect(mailbox.isAtTask(1n)).toBe(false);
    mailbox.offered(1n, '01');
    expect(mailbox.isAtTask(1n)).toBe(true);
    mailbox.settle(1n, '01');
    expect(mailbox.isAtTask(1n)).toBe(false);
    mailbox.assumeTaken(1n);
    expect(mailbox.isAtTask(1n)).toBe(true);
    expect(mailbox.isAtTask(2n)).toBe(false);
  });

  it('says once that a task was withdrawn without its answer', () => {
    const mailbox = new Mailbox();
    for (const id of ['01', '02']) mailbox.put(task(id));
    mailbox.settle(1n, '01');
    mailbox.withdraw(1n, '01');
    expect(mailbox.wasGivenUp(1n)).toBe(false);
    mailbox.withdraw(1n, '02');
    expect([mailbox.wasGivenUp(1n), mailbox.wasGivenUp(1n)]).toEqual([true, false]);
  });

  it('forgets a withdrawn task, also one it never heard of', () => {
    const mailbox = new Mailbox();
    mailbox.put(task('01'));
    expect(mailbox.withdraw(1n, '01')?.taskId).toBe('01');
    expect(mailbox.withdraw(1n, '01')).toBeNull();
    expect(mailbox.withdraw(5n, 'xx')).toBeNull();
    expect(mailbox.size).toBe(0);
  });
});
