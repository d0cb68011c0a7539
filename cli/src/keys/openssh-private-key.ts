import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { CommandError } from '../command-error.ts';
import { WireReader, WireWriter } from './ssh-wire.ts';

// The openssh-key-v1 container (OpenSSH, PROTOCOL.key) for ECDSA keys without a passphrase: what `ssh-keygen -t ecdsa`
// writes and what flower-supernode reads.

const magic = Buffer.from('openssh-key-v1\0', 'latin1');
const begin = '-----BEGIN OPENSSH PRIVATE KEY-----';
const end = '-----END OPENSSH PRIVATE KEY-----';

const curves = [
  { ssh: 'nistp256', jwk: 'P-256', node: 'prime256v1', bytes: 32 },
  { ssh: 'nistp384', jwk: 'P-384', node: 'secp384r1', bytes: 48 },
  { ssh: 'nistp521', jwk: 'P-521', node: 'secp521r1', bytes: 66 },
] as const;

type Curve = (typeof curves)[number];

const unusable = (why: string) =>
  new CommandError('NODE_KEY_FILE', `The node key cannot be used: ${why}.`, {
    todo: 'Make one with: ssh-keygen -t ecdsa -b 384 -N "" -f node.key',
  });

/** Reads a private key in OpenSSH or PEM (PKCS#8, SEC 1) format. Only ECDSA keys on NIST curves without a passphrase. */
export function readPrivateKey(text: string): KeyObject {
  const key = text.includes(begin) ? parseOpenSsh(text) : parsePem(text);
  if (key.asymmetricKeyType !== 'ec') throw unusable(`it is a ${key.asymmetricKeyType} key, Flower takes ECDSA`);
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (!curves.some((known) => known.node === curve)) throw unusable(`the curve ${curve} is not P-256, P-384 or P-521`);
  return key;
}

function parsePem(text: string): KeyObject {
  if (text.includes('ENCRYPTED')) throw unusable('it is protected by a passphrase');
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw unusable(`neither OpenSSH nor PEM (${(cause as Error).message})`);
  }
}

function parseOpenSsh(text: string): KeyObject {
  const { type, inner } = openSshContainer(text, unusable);
  if (!type.startsWith('ecdsa-sha2-')) throw unusable(`it is a ${type} key, Flower takes ECDSA`);
  const curve = curves.find((known) => `ecdsa-sha2-${known.ssh}` === type);
  if (curve === undefined || inner.text() !== curve.ssh) throw unusable(`the curve of ${type} is not supported`);
  return fromNumbers(curve, inner.bytes(), inner.bytes());
}

export const isOpenSshPrivateKey = (text: string): boolean => text.includes(begin);

/** The one key of the container: its type, and what follows the type. */
export function openSshContainer(text: string, unusable: (why: string) => Error): { type: string; inner: WireReader } {
  const base64 = text.slice(text.indexOf(begin) + begin.length, text.indexOf(end)).replace(/\s+/g, '');
  const blob = Buffer.from(base64, 'base64');
  if (!text.includes(end) || !blob.subarray(0, magic.length).equals(magic)) throw unusable('the file is cut off');
  const outer = new WireReader(blob.subarray(magic.length), unusable);
  const cipher = outer.text();
  outer.text(); // KDF name
  outer.bytes(); // KDF options
  if (cipher !== 'none') throw unusable('it is protected by a passphrase');
  if (outer.uint32() !== 1) throw unusable('the file holds more than one key');
  outer.bytes(); // public key: again inside the private part
  const inner = new WireReader(outer.bytes(), unusable);
  const check = inner.uint32();
  if (inner.uint32() !== check) throw unusable('the file is damaged');
  return { type: inner.text(), inner };
}

function fromNumbers(curve: Curve, point: Buffer, scalar: Buffer): KeyObject {
  if (point.length !== 1 + 2 * curve.bytes || point[0] !== 4) throw unusable('its public point is not uncompressed');
  const field = (bytes: Buffer) => bytes.toString('base64url');
  const key = {
    kty: 'EC',
    crv: curve.jwk,
    x: field(point.subarray(1, 1 + curve.bytes)),
    y: field(point.subarray(1 + curve.bytes)),
    d: field(fixedLength(scalar, curve.bytes)),
  };
  try {
    return createPrivateKey({ key, format: 'jwk' });
  } catch (cause) {
    throw unusable(`its numbers do not fit together (${(cause as Error).message})`);
  }
}

/** The multi-precision integer of the SSH wire as a field element: no sign byte, leading zeros restored. */
function fixedLength(number: Buffer, bytes: number): Buffer {
  const digits = number.length > 0 && number[0] === 0 ? number.subarray(1) : number;
  if (digits.length > bytes) throw unusable('its private number is too long');
  return Buffer.concat([Buffer.alloc(bytes - digits.length), digits]);
}

interface Numbers {
  curve: Curve;
  point: Buffer;
  scalar: Buffer;
}

function numbersOf(key: KeyObject): Numbers {
  const jwk = key.export({ format: 'jwk' });
  const curve = curves.find((known) => known.jwk === jwk.crv);
  if (curve === undefined || jwk.x === undefined || jwk.y === undefined) throw unusable('it is not an ECDSA key');
  const field = (text: string) => fixedLength(Buffer.from(text, 'base64url'), curve.bytes);
  const point = Buffer.concat([Buffer.of(4), field(jwk.x), field(jwk.y)]);
  return { curve, point, scalar: jwk.d === undefined ? Buffer.alloc(0) : field(jwk.d) };
}

const publicBlob = ({ curve, point }: Numbers): Buffer =>
  new WireWriter().text(`ecdsa-sha2-${curve.ssh}`).text(curve.ssh).bytes(point).end();

/** The public half as the one line of a `.pub` file, without line end. */
export function openSshPublicLine(key: KeyObject, comment: string): string {
  const numbers = numbersOf(key.type === 'private' ? createPublicKey(key) : key);
  return `ecdsa-sha2-${numbers.curve.ssh} ${publicBlob(numbers).toString('base64')} ${comment}`;
}

/** The private key in OpenSSH format without a passphrase. `check` is the format's four random bytes. */
export function openSshPrivateKey(key: KeyObject, comment: string, check: Buffer): string {
  const numbers = numbersOf(key);
  const inner = new WireWriter()
    .raw(check)
    .raw(check)
    .text(`ecdsa-sha2-${numbers.curve.ssh}`)
    .text(numbers.curve.ssh)
    .bytes(numbers.point)
    .integer(numbers.scalar)
    .text(comment)
    .padded(8);
  const blob = new WireWriter()
    .raw(magic)
    .text('none')
    .text('none')
    .bytes(Buffer.alloc(0))
    .uint32(1)
    .bytes(publicBlob(numbers))
    .bytes(inner)
    .end();
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return [begin, ...lines, end, ''].join('\n');
}
