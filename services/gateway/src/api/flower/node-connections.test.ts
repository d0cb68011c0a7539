import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { NodeConnections } from './node-connections.ts';

it('tells of a node when the last of its connections closed', () => {
  const lost: bigint[] = [];
  const connections = new NodeConnections((nodeId) => lost.push(nodeId));
  const [pulls, heartbeats] = [new EventEmitter(), new EventEmitter()];
  connections.heard(1n, pulls);
  connections.heard(1n, heartbeats);
  connections.heard(1n, pulls);
  pulls.emit('close');
  expect(lost).toEqual([]);
  heartbeats.emit('close');
  expect(lost).toEqual([1n]);
});

it('tells of every node behind one shared connection, and again after a return', () => {
  const lost: bigint[] = [];
  const connections = new NodeConnections((nodeId) => lost.push(nodeId));
  const [shared, again] = [new EventEmitter(), new EventEmitter()];
  connections.heard(1n, shared);
  connections.heard(2n, shared);
  shared.emit('close');
  expect(lost).toEqual([1n, 2n]);
  connections.heard(2n, again);
  again.emit('close');
  expect(lost).toEqual([1n, 2n, 2n]);
});
