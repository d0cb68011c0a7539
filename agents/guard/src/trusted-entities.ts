import { createPublicKey, type KeyObject } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { loadConfig } from '@aegis/service-kit';
import { z } from 'zod';

/** `{id: "ssh-ed25519 AAAA…"}`: the same file that a SuperNode takes as --trusted-entities. */
export const readTrustedEntities = (file: string): ReadonlyMap<string, KeyObject> => {
  const entities = loadConfig(file, z.record(z.string().min(1).max(200), z.string()));
  return new Map(Object.entries(entities).map(([id, line]) => [id, keyOf(line, `${file}: ${id}`)]));
};

const PREFIX = Buffer.from('0000000b7373682d6564323535313900000020', 'hex'); // string "ssh-ed25519", then 32 bytes

const keyOf = (line: string, name: string): KeyObject => {
  const [type, base64 = ''] = line.trim().split(/\s+/);
  const blob = Buffer.from(base64, 'base64');
  if (
    type !== 'ssh-ed25519' ||
    blob.byteLength !== PREFIX.byteLength + 32 ||
    !blob.subarray(0, PREFIX.byteLength).equals(PREFIX)
  ) {
    throw new AegisError('CONFIG_INVALID', `${name}: it is not an ssh-ed25519 public key.`);
  }
  const x = blob.subarray(PREFIX.byteLength).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
};
