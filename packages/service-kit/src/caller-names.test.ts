import type { PeerCertificate } from 'node:tls';
import { expect, it } from 'vitest';
import { callerNames } from './caller-names.ts';

const shown = (CN: string | undefined, subjectaltname?: string): PeerCertificate =>
  ({ subject: { CN }, subjectaltname }) as PeerCertificate;

it.each([
  ['nothing', undefined, []],
  [
    'a service of a federation',
    shown('gateway', 'URI:spiffe://hospitals/service/gateway, DNS:gw.local'),
    ['gateway', 'gw.local'],
  ],
  ['a service of another authority', shown('gateway', 'DNS:gateway, DNS:gw.local'), ['gateway', 'gw.local']],
  ['a certificate with a common name alone', shown('gateway'), ['gateway']],
  ['a guard that is called like a service', shown('gateway', 'URI:spiffe://hospitals/guard/gateway'), []],
  ['a node, with a DNS name besides', shown('gateway', 'URI:spiffe://hospitals/node/gateway, DNS:gateway'), []],
  ['a key that signs', shown('gateway', 'URI:spiffe://hospitals/signing/gateway'), []],
] as const)('reads the names of a caller that shows %s', (_name, certificate, names) => {
  expect(callerNames(certificate)).toEqual(names);
});
