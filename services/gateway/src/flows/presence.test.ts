import { describe, expect, it } from 'vitest';
import { memoryGateway, settled } from '../testing/memory-gateway.ts';
import { deactivateNode } from './deactivate-node.ts';
import { adoptNodes, expireNodes } from './expire-nodes.ts';
import { followNode } from './follow-changes.ts';
import { heartbeat } from './heartbeat.ts';
import { listNodes } from './list-nodes.ts';
import { removeNode } from './remove-node.ts';
import { unregisterNode } from './unregister-node.ts';

const online = { nodeId: 1n, online: true };
const offline = { nodeId: 1n, online: false };
const stateOf = async (gateway: Parameters<typeof listNodes>[0]) =>
  (await listNodes(gateway)).map(({ state }) => state);

describe('presence', () => {
  it('is told once when a node comes, and once when it falls silent', async () => {
    const { gateway, node, clock, told } = await memoryGateway();
    await heartbeat(gateway, node, 30);
    await heartbeat(gateway, node, 30);
    expect(told).toEqual([online]);
    await clock.advance(59_999);
    expireNodes(gateway);
    expect(told).toEqual([online]);
    await clock.advance(1);
    expireNodes(gateway);
    expireNodes(gateway);
    expect(told).toEqual([online, offline]);
    await settled();
    expect(await stateOf(gateway)).toEqual(['offline']);
  });

  it('is over everywhere when a node says goodbye or is removed, wherever it was seen before', async () => {
    const left = { ...offline, left: true };
    const first = await memoryGateway();
    // This gateway has not seen it since its own start: another may have told everybody that it is there.
    await deactivateNode(first.gateway, first.node);
    expect(first.told).toEqual([left]);
    const second = await memoryGateway();
    await heartbeat(second.gateway, second.node, 30);
    await removeNode(second.gateway, second.node.nodeId);
    expect(second.told).toEqual([online, left]);
    second.gateway.elsewhere.hear('b', true, [online], second.clock.monotonic());
    second.gateway.elsewhere.hear('c', false, [left], second.clock.monotonic());
    expect(second.gateway.elsewhere.isOnline(1n, second.clock.monotonic())).toBe(false);
  });

  it('lets a node that was given up come back, and writes that down', async () => {
    const { gateway, node, clock, told } = await memoryGateway();
    await heartbeat(gateway, node, 30);
    await clock.advance(60_000);
    expireNodes(gateway);
    await settled();
    const expired = await gateway.nodes.latest(node.nodeId);
    expect(expired?.activity).toBe('expired');
    expect(expired && (await heartbeat(gateway, expired, 30))).toBe(true);
    await settled();
    expect((await gateway.nodes.latest(node.nodeId))?.activity).toBe('active');
    expect(told).toEqual([online, offline, online]);
  });

  it('believes after a restart that nodes at work are there until their heartbeat is due', async () => {
    const { gateway, clock, told, snapshots } = await memoryGateway();
    await adoptNodes(gateway);
    expect(snapshots).toEqual([[online]]);
    expect(await stateOf(gateway)).toEqual(['online']);
    await clock.advance(60_000);
    expireNodes(gateway);
    expect(told).toEqual([offline]);
  });

  it('does not believe a silent node that announced half an hour, unless it is at work', async () => {
    const { gateway, node, clock, told, task } = await memoryGateway();
    await heartbeat(gateway, node, 1800);
    gateway.mailbox.put(task('01'));
    gateway.mailbox.offered(node.nodeId, '01');
    await clock.advance(600_000);
    expireNodes(gateway);
    expect(told).toEqual([online]);
    gateway.mailbox.withdraw(node.nodeId, '01');
    expireNodes(gateway);
    expect(told).toEqual([online, offline]);
  });

  it('does not depend on what the clock of the machine is set to', async () => {
    const { gateway, node, clock, told } = await memoryGateway();
    await heartbeat(gateway, node, 30);
    clock.stepWall(7_200_000);
    expireNodes(gateway);
    expect(told).toEqual([online]);
    clock.stepWall(-14_400_000);
    await clock.advance(60_000);
    expireNodes(gateway);
    expect(told).toEqual([online, offline]);
    await settled();
    expect((await gateway.nodes.latest(node.nodeId))?.lastSeenAt).toBe(clock.now() - 60_000);
  });

  it('refuses the heartbeat of a node that left, so that it ends', async () => {
    const { gateway, node } = await memoryGateway();
    await deactivateNode(gateway, node);
    const left = await gateway.nodes.latest(node.nodeId);
    expect(left && (await heartbeat(gateway, left, 30))).toBe(false);
  });

  it('follows what another gateway wrote: who left there is gone here', async () => {
    const { gateway, node, told } = await memoryGateway();
    await heartbeat(gateway, node, 30);
    followNode(gateway, node.nodeId, { ...node, activity: 'expired' });
    expect(told).toEqual([online]);
    followNode(gateway, node.nodeId, { ...node, activity: 'removed' });
    expect(told).toEqual([online, offline]);
  });

  it('shows a node as online that another gateway sees', async () => {
    const { gateway, clock } = await memoryGateway();
    gateway.elsewhere.hear('other', true, [online], clock.monotonic());
    expect(await stateOf(gateway)).toEqual(['online']);
  });
});

describe('a node that goes for good', () => {
  it('takes its key along when it enrolled itself, and fails its tasks', async () => {
    const { gateway, node, task, failed } = await memoryGateway();
    gateway.mailbox.put(task('01'));
    await unregisterNode(gateway, node);
    expect(await gateway.nodes.byKey(node.fingerprint)).toBeNull();
    expect(failed.map(({ taskId }) => taskId)).toEqual(['01']);
  });

  it('stays registered when an operator registered it', async () => {
    const { gateway, node } = await memoryGateway({ selfRegistered: false });
    await unregisterNode(gateway, node);
    expect(await gateway.nodes.byKey(node.fingerprint)).not.toBeNull();
  });

  it('is known as removed when an operator removes it, and fails its tasks', async () => {
    const { gateway, node, task, failed } = await memoryGateway();
    await heartbeat(gateway, node, 30);
    gateway.mailbox.put(task('01'));
    await removeNode(gateway, node.nodeId);
    expect(await stateOf(gateway)).toEqual(['removed']);
    expect(failed).toEqual([expect.objectContaining({ taskId: '01', reason: 'The node was removed.' })]);
    await removeNode(gateway, node.nodeId);
    await expect(removeNode(gateway, 99n)).rejects.toMatchObject({ code: 'NODE_NOT_FOUND' });
  });
});
