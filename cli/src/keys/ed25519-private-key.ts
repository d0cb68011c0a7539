import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { CommandError } from '../command-error.ts';
import { isOpenSshPrivateKey, openSshContainer } from './openssh-private-key.ts';
import { WireWriter } from './ssh-wire.ts';

// Keys that sign apps: Ed25519, as Flower's trusted entities are.

const unusable = (why: string) =>
  new CommandError('SIGNING_KEY_FILE', `The signing key cannot be used: ${why}.`, {
    todo: 'Make one with: ssh-keygen -t ed25519 -N "" -f board.key — and keep it away from the server.',
  });

/** Reads an Ed25519 private key without a passphrase, OpenSSH or PKCS #8. */
export function readEd25519(text: string): KeyObject {
  const key = isOpenSshPrivateKey(text) ? fromOpenSsh(text) : fromPem(text);
  if (key.asymmetricKeyType !== 'ed25519') throw unusable(`it is a ${key.asymmetricKeyType} key, Flower takes Ed25519`);
  return key;
}

/** The public half as a line for the file of trusted entities. */
export function ed25519Line(key: KeyObject): string {
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' });
  const blob = new WireWriter().text('ssh-ed25519').bytes(Buffer.from(x, 'base64url')).end();
  return `ssh-ed25519 ${blob.toString('base64')}`;
}

function fromPem(text: string): KeyObject {
  if (text.includes('ENCRYPTED')) throw unusable('it is protected by a passphrase');
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw unusable(`neither OpenSSH nor PEM (${(cause as Error).message})`);
  }
}

function fromOpenSsh(text: string): KeyObject {
  const { type, inner } = openSshContainer(text, unusable);
  if (type !== 'ssh-ed25519') throw unusable(`it is a ${type} key, Flower takes ssh-ed25519`);
  const [point, pair] = [inner.bytes(), inner.bytes()];
  if (point.length !== 32 || pair.length !== 64) throw unusable('the file is damaged');
  const jwk = {
    kty: 'OKP',
    crv: 'Ed25519',
    x: point.toString('base64url'),
    d: pair.subarray(0, 32).toString('base64url'),
  };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}
