import type { NodeRecord } from '@aegis/contracts/aegis/operator/v1/operator';
import { formatTime, isoTime } from './values.ts';

export const nodeJson = (node: NodeRecord) => ({
  nodeId: node.nodeId,
  name: node.name,
  state: node.state,
  flwrVersion: node.flwrVersion,
  dialect: node.dialect,
  masks: node.masks,
  keyFingerprint: node.keyFingerprint,
  certificate: node.certificate,
  certificateUntil: isoTime(node.certificateUntil),
  selfRegistered: node.selfRegistered,
  registeredAt: isoTime(node.registeredAt),
  lastSeenAt: isoTime(node.lastSeenAt),
});

export const nodeHead = [
  'NODE',
  'NAME',
  'STATE',
  'FLWR',
  'DIALECT',
  'MASKS',
  'KEY',
  'CERTIFICATE',
  'GOOD UNTIL',
  'ENROLLED BY',
  'LAST SEEN',
];

export const nodeRow = (node: NodeRecord): string[] => [
  node.nodeId.toString(),
  node.name,
  node.state,
  node.flwrVersion,
  node.dialect,
  node.masks ? 'yes' : 'no',
  node.keyFingerprint.slice(0, 23),
  node.certificate,
  formatTime(node.certificateUntil),
  node.selfRegistered ? 'itself' : 'operator',
  formatTime(node.lastSeenAt),
];
