import { AegisError } from '@aegis/errors';
import type { OnePortOptions } from '@aegis/flower-wire';
import { counterFromZero, type Telemetry } from '@aegis/service-kit';
import type { Counted } from './counted.ts';

type Reason = Parameters<NonNullable<OnePortOptions['onRefused']>>[0];
const REASONS: readonly Reason[] = [
  'too-many',
  'too-many-from-address',
  'made-room',
  'too-fast',
  'handshake',
  'silent',
  'flood',
];
const LOG_EVERY_MS = 10_000;

/** One for all: a flood shall not cost us a stack trace each. */
const tooFast = new AegisError('RATE_LIMIT', 'connections of one address.');

/** Counts every connection the port closes; the log gets one line in ten seconds, for whoever floods us must not fill it. */
export const refusedConnections = (
  { meter }: Telemetry,
  log: { debug(fields: object, text: string): void; warn(fields: object, text: string): void },
  { now, counted }: { now: () => number; counted: Pick<Counted, 'refused'> },
): NonNullable<OnePortOptions['onRefused']> => {
  const refused = counterFromZero(
    meter,
    'aegis_gateway_connections_refused',
    { description: 'Connections closed by the port, by reason' },
    REASONS.map((reason) => ({ reason })),
  );
  let quietUntil = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (reason, address, error) => {
    refused.add(1, { reason });
    if (reason === 'too-fast') return counted.refused('port', tooFast, { path: '', status: undefined, peer: address });
    if (reason === 'handshake') return log.debug({ address, err: error }, 'TLS handshake failed');
    if (now() < quietUntil) {
      untold += 1;
      return;
    }
    quietUntil = now() + LOG_EVERY_MS;
    log.warn({ address, reason, untold }, 'connection refused');
    untold = 0;
  };
};
