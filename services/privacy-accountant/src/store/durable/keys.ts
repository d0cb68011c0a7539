import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { type DataKey, openFile, sealFile } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { isOpenToOthers, keepFirst, Secret } from '@aegis/service-kit';

/** The key that authenticates history and anchor: 32 random bytes in hexadecimal. Without it nothing can be verified, or forged. */
export async function ledgerKey(file: string, sealing: DataKey | null = null): Promise<Secret> {
  const text = (await secretFileAt(file, () => Buffer.from(`${randomBytes(32).toString('hex')}\n`), sealing))
    .toString('utf8')
    .trim();
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new AegisError('CONFIG_INVALID', `${file} holds no ledger key of 64 hexadecimal characters.`);
  return new Secret(text);
}

/** The Ed25519 key that signs statements, PKCS #8 PEM. */
export async function statementKey(file: string, sealing: DataKey | null = null): Promise<KeyObject> {
  const first = () => Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const pem = await secretFileAt(file, first, sealing);
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Below; what OpenSSL says about a key may quote it.
  }
  throw new AegisError('CONFIG_INVALID', `${file} holds no Ed25519 private key (PKCS #8 PEM).`);
}

/**
 * With `sealing` the secret lies in `<file>.sealed` and nowhere else: one that was there in plain is taken over. A plain file beside a sealed one that says
 * something else is nobody's choice to make.
 */
async function secretFileAt(file: string, first: () => Uint8Array, sealing: DataKey | null): Promise<Buffer> {
  if (sealing === null) {
    if (await isThere(`${file}.sealed`))
      throw new AegisError('CONFIG_INVALID', `${file}.sealed was written with keys; give the same keys again.`);
    const content = await keepFirst(file, first);
    if (isOpenToOthers(await stat(file)))
      throw new AegisError('CONFIG_INVALID', `${file} is open to others; chmod 600 it.`);
    return content;
  }
  const sealed = `${file}.sealed`;
  const plain = (await isThere(file)) ? await readFile(file) : null;
  await keepFirst(sealed, () => sealedBytes(file, plain ?? first(), sealing));
  const content = await openFile(sealed, sealing, contextOf(file)).catch((error: unknown) => {
    throw new AegisError('KEY_NOT_OPENED', `${sealed}.`, error);
  });
  if (plain !== null && !plain.equals(content))
    throw new AegisError('CONFIG_INVALID', `${file} and ${sealed} are different keys; remove the one that is wrong.`);
  await rm(file, { force: true });
  return content;
}

async function sealedBytes(file: string, content: Uint8Array, key: DataKey): Promise<Buffer> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.sealing`;
  try {
    await sealFile(temporary, content, key, contextOf(file));
    return await readFile(temporary);
  } finally {
    await rm(temporary, { force: true });
  }
}

const contextOf = (file: string): string => `accountant/${basename(file)}`;
const isThere = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
