import { verifyEcdsa } from '@aegis/core-native';
import { describe, expect, it } from 'vitest';
import { fromBase64 } from './http-door.ts';
import { type CredentialSource, checkCredential, isoTime, parseTimestamp, readCredential } from './node-auth.ts';
import { readVectors } from './recorded.ts';

const vectors = readVectors('node_auth.json');
const signedAt = parseTimestamp(vectors.signed_at) ?? expect.fail('vector time');

type Headers = Record<string, string>;
const httpSource = (headers: Headers): CredentialSource => ({
  dialect: 'http',
  connection: {},
  text: (name) => headers[name] ?? '',
  binary: (name) => fromBase64(headers[name] ?? ''),
});
const grpcSource = (metadata: Headers): CredentialSource => ({
  dialect: 'grpc',
  connection: {},
  text: (name) => metadata[name] ?? '',
  binary: (name) => {
    const value = metadata[`${name}-bin`];
    return value === undefined ? null : Buffer.from(value.replace(/^hex:/, ''), 'hex');
  },
});

// The rest of the rule, whose key it is and which node acts, belongs to the handler.
const ofTheHandler = ['bad_unregistered_key', 'bad_node_id', 'bad_register_other_key'];

describe('node authentication, verdicts of the reference', () => {
  for (const { name, http_headers: http, grpc_metadata: grpc, age_seconds: age, reference } of vectors.cases) {
    const good = reference === 'accepted' || ofTheHandler.includes(name);
    const check = async (source: CredentialSource): Promise<void> =>
      checkCredential(readCredential(source), (signedAt + age) * 1000, verifyEcdsa);
    it(`${name}: ${good ? 'passes' : 'is refused'}`, async () => {
      for (const source of [httpSource(http), ...(grpc === undefined ? [] : [grpcSource(grpc)])]) {
        if (good) await check(source);
        else {
          const error = await check(source).then(
            () => expect.fail('passed'),
            (caught) => caught,
          );
          expect(error.entry?.kind).toBe('unauthenticated');
        }
      }
    });
  }
});

describe('timestamps', () => {
  it('are read with microseconds, without decimals, and with another zone', () => {
    expect(parseTimestamp('2026-11-21T20:30:41.932108+00:00')).toBeCloseTo(1795293041.932108, 6);
    expect(parseTimestamp('2026-11-21T20:30:41+00:00')).toBe(1795293041);
    expect(parseTimestamp('2026-11-21T21:30:41+01:00')).toBe(1795293041);
    expect(parseTimestamp('2026-11-21T20:30:41Z')).toBe(1795293041);
  });

  it('are refused without a zone or when they are no times', () => {
    for (const text of ['2026-11-21T20:30:41', '2026-13-21T20:30:41Z', '1795293041', '', '2026-11-21', 'now']) {
      expect(parseTimestamp(text), text).toBeNull();
    }
  });

  it('are written as Python writes them', () => {
    expect(isoTime(1795293041.932108)).toBe('2026-11-21T20:30:41.932108+00:00');
    expect(isoTime(1795293041)).toBe('2026-11-21T20:30:41+00:00');
    expect(isoTime(1795293041.000001)).toBe('2026-11-21T20:30:41.000001+00:00');
    expect(isoTime(0)).toBe('');
  });
});
