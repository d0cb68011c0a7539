import type { NodeConsent } from '@aegis/contracts/aegis/operator/v1/operator';
import { formatTime, isoTime } from './values.ts';

export const consentJson = ({ at, ...rest }: NodeConsent) => ({ ...rest, at: isoTime(at) });

export const consentHead = ['NODE', 'TO', 'VERSION', 'CONSENT', 'SINCE'];

export const consentRow = ({ nodeId, to, version, given, at }: NodeConsent): string[] => [
  nodeId.toString(),
  to,
  version,
  given ? 'given' : 'withdrawn',
  formatTime(at),
];
