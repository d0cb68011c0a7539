import { AegisError } from '@aegis/errors';
import { describe, expect, it } from 'vitest';
import { memoryGateway, settled } from '../testing/memory-gateway.ts';
import { deactivateNode } from './deactivate-node.ts';
import { expireNodes } from './expire-nodes.ts';
import { pullTask } from './pull-task.ts';
import { removeNode } from './remove-node.ts';

const prepare = async ({ taskId }: { taskId: string }) => taskId;
const never = new AbortController().signal;

describe('a pull', () => {
  it('is answered at once when there is work', async () => {
    const { gateway, node, task } = await memoryGateway();
    gateway.mailbox.put(task('01'));
    expect(await pullTask(gateway, node, never, prepare)).toBe('01');
  });

  it('is held while there is none, and answered the moment it comes', async () => {
    const { gateway, node, task, give } = await memoryGateway();
    const pull = pullTask(gateway, node, never, prepare);
    await settled();
    expect(gateway.held.waiting).toBe(1);
    give(task('01'));
    expect(await pull).toBe('01');
    expect(gateway.held.waiting).toBe(0);
  });

  it('ends empty after the hold, with no timer left behind', async () => {
    const { gateway, node, clock } = await memoryGateway();
    const pull = pullTask(gateway, node, never, prepare);
    await clock.advance(gateway.settings.holdMs);
    expect(await pull).toBeNull();
    expect(clock.pending).toBe(0);
  });

  it('ends after the hold also when the clock of the machine is set back', async () => {
    const { gateway, node, clock } = await memoryGateway();
    const pull = pullTask(gateway, node, never, prepare);
    await settled();
    clock.stepWall(-3_600_000);
    await clock.advance(gateway.settings.holdMs);
    expect(await pull).toBeNull();
  });

  it('of a node that a round gave up says that it is there again', async () => {
    const { gateway, node, task, told } = await memoryGateway();
    gateway.held.drain();
    await pullTask(gateway, node, never, prepare);
    gateway.mailbox.put(task('01'));
    gateway.mailbox.withdraw(node.nodeId, '01');
    told.length = 0;
    for (let pulls = 0; pulls < 2; pulls += 1) await pullTask(gateway, node, never, prepare);
    expect(told).toEqual([{ nodeId: node.nodeId, online: true }]);
  });

  it('assigns nothing to a caller that has gone', async () => {
    const { gateway, node, task, give } = await memoryGateway();
    const caller = new AbortController();
    const pull = pullTask(gateway, node, caller.signal, prepare);
    await settled();
    caller.abort();
    give(task('01'));
    expect(await pull).toBeNull();
    expect(await pullTask(gateway, node, never, prepare)).toBe('01');
    expect(gateway.mailbox.next(1n).task?.taskId).toBe('01');
  });

  it('does not count an offer that nobody was there to hear when it was ready', async () => {
    const { gateway, node, task } = await memoryGateway();
    gateway.mailbox.put(task('01'));
    for (let tries = 0; tries < 5; tries += 1) {
      const caller = new AbortController();
      const prepared = pullTask(gateway, node, caller.signal, async () => {
        caller.abort();
        return 'ready';
      });
      expect(await prepared).toBeNull();
    }
    expect(await pullTask(gateway, node, never, prepare)).toBe('01');
  });

  it('supersedes the one before it', async () => {
    const { gateway, node, task, give } = await memoryGateway();
    const first = pullTask(gateway, node, never, prepare);
    await settled();
    const second = pullTask(gateway, node, never, prepare);
    expect(await first).toBeNull();
    await settled();
    give(task('01'));
    expect(await second).toBe('01');
  });

  it.each(['deactivate', 'remove', 'drain', 'expire'] as const)('ends empty on %s', async (how) => {
    const { gateway, node, clock } = await memoryGateway();
    const pull = pullTask(gateway, node, never, prepare);
    await settled();
    if (how === 'deactivate') await deactivateNode(gateway, node);
    if (how === 'remove') await removeNode(gateway, node.nodeId);
    if (how === 'drain') gateway.held.drain();
    if (how === 'expire') {
      gateway.roster.see(node.nodeId, 30, clock.monotonic() - 60_000);
      expireNodes(gateway);
    }
    expect(await pull).toBeNull();
  });

  it('offers a task again until its offers are used up, then fails it and goes on with the next', async () => {
    const { gateway, node, task, failed } = await memoryGateway();
    gateway.mailbox.put(task('01'));
    gateway.mailbox.put(task('02'));
    for (let offer = 0; offer < 3; offer += 1) expect(await pullTask(gateway, node, never, prepare)).toBe('01');
    expect(await pullTask(gateway, node, never, prepare)).toBe('02');
    await settled();
    expect(failed).toEqual([expect.objectContaining({ taskId: '01', reason: expect.stringContaining('3 times') })]);
  });

  it('counts no offer while the aggregator is away, and gives up what can never be prepared', async () => {
    const { gateway, node, task, failed } = await memoryGateway();
    gateway.mailbox.put(task('01'));
    const failing = (code: 'UNAVAILABLE' | 'MODEL_NOT_FOUND') => () => Promise.reject(new AegisError(code));
    for (let tries = 0; tries < 5; tries += 1) {
      await expect(pullTask(gateway, node, never, failing('UNAVAILABLE'))).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
    }
    for (let tries = 0; tries < 3; tries += 1) {
      await expect(pullTask(gateway, node, never, failing('MODEL_NOT_FOUND'))).rejects.toThrow();
    }
    gateway.held.drain();
    expect(await pullTask(gateway, node, never, prepare)).toBeNull();
    gateway.mailbox.next(node.nodeId);
    expect(gateway.mailbox.open(node.nodeId)).toEqual([]);
    expect(failed.length).toBeLessThanOrEqual(1);
  });

  it('takes back a task that was withdrawn while it was made ready', async () => {
    const { gateway, node, task } = await memoryGateway();
    gateway.mailbox.put(task('01'));
    const pull = pullTask(gateway, node, never, async () => {
      gateway.mailbox.withdraw(node.nodeId, '01');
      return 'ready';
    });
    expect(await pull).toBeNull();
  });

  it('of a node that left is empty at once', async () => {
    const { gateway, node } = await memoryGateway();
    await deactivateNode(gateway, node);
    const left = await gateway.nodes.latest(node.nodeId);
    expect(left && (await pullTask(gateway, left, never, prepare))).toBeNull();
    expect(gateway.roster.has(node.nodeId)).toBe(false);
  });
});
