import type { Invitation } from '@aegis/contracts/aegis/operator/v1/operator';
import { formatTime, isoTime } from './values.ts';

export const invitationJson = (one: Invitation) => ({
  id: one.id,
  name: one.name,
  state: one.state,
  createdAt: isoTime(one.createdAt),
  expiresAt: isoTime(one.expiresAt),
  usedAt: isoTime(one.usedAt),
  nodeId: one.nodeId === 0n ? null : one.nodeId,
});

export const invitationHead = ['INVITATION', 'NAME', 'STATE', 'MADE', 'GOOD UNTIL', 'USED', 'NODE'];

export const invitationRow = (one: Invitation): string[] => [
  one.id,
  one.name,
  one.state,
  formatTime(one.createdAt),
  formatTime(one.expiresAt),
  formatTime(one.usedAt),
  one.nodeId === 0n ? '' : one.nodeId.toString(),
];
