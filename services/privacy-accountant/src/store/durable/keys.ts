import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { AegisError } from '@aegis/errors';
import { isOpenToOthers, keepFirst, Secret } from '@aegis/service-kit';

/** The key that authenticates history and anchor: 32 random bytes in hexadecimal. Without it nothing can be verified, or forged. */
export async function ledgerKey(file: string): Promise<Secret> {
  const text = (await secretFileAt(file, () => Buffer.from(`${randomBytes(32).toString('hex')}\n`)))
    .toString('utf8')
    .trim();
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new AegisError('CONFIG_INVALID', `${file} holds no ledger key of 64 hexadecimal characters.`);
  return new Secret(text);
}

/** The Ed25519 key that signs statements, PKCS #8 PEM. */
export async function statementKey(file: string): Promise<KeyObject> {
  const pem = await secretFileAt(file, () =>
    Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })),
  );
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Below; what OpenSSL says about a key may quote it.
  }
  throw new AegisError('CONFIG_INVALID', `${file} holds no Ed25519 private key (PKCS #8 PEM).`);
}

async function secretFileAt(file: string, first: () => Uint8Array): Promise<Buffer> {
  const content = await keepFirst(file, first);
  if (isOpenToOthers(await stat(file)))
    throw new AegisError('CONFIG_INVALID', `${file} is open to others; chmod 600 it.`);
  return content;
}
