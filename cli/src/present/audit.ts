import type { AuditEntry } from '@aegis/contracts/aegis/operator/v1/operator';
import { formatTime, isoTime } from './values.ts';

/** One line of the export, for machines. */
export const auditJson = ({ at, ...entry }: AuditEntry) => ({ ...entry, at: isoTime(at / 1000) });

export const auditHead = ['ENTRY', 'AT', 'EVENT', 'BY WHOM', 'WHAT', 'DETAIL'];

export const auditRow = ({ sequence, at, event, actor, subject, detail }: AuditEntry): string[] => [
  sequence.toString(),
  formatTime(at / 1000),
  event,
  actor,
  subject === actor ? '' : subject,
  detail,
];
