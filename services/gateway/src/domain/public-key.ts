import { AegisError } from '@aegis/errors';

// Keys arrive as PEM (SubjectPublicKeyInfo) or as one OpenSSH line. Inside, a key is its SPKI bytes.

const oids = {
  prime256v1: { oid: '2a8648ce3d030107', point: 65 },
  secp384r1: { oid: '2b81040022', point: 97 },
  secp521r1: { oid: '2b81040023', point: 133 },
} as const;
const curveOfSsh: Record<string, keyof typeof oids> = {
  'ecdsa-sha2-nistp256': 'prime256v1',
  'ecdsa-sha2-nistp384': 'secp384r1',
  'ecdsa-sha2-nistp521': 'secp521r1',
};
const ecPublicKeyOid = '2a8648ce3d0201';

/** SPKI bytes of a PEM or OpenSSH public key on P-256, P-384 or P-521. Says nothing on whether the point is on the curve. */
export const parsePublicKey = (text: string): Buffer => {
  const trimmed = text.trim();
  const spki = trimmed.startsWith('-----BEGIN PUBLIC KEY-----') ? fromPem(trimmed) : fromOpenSsh(trimmed);
  if (!isEcSpki(spki)) throw new AegisError('NODE_KEY_INVALID');
  return spki;
};

/** The text Flower clients send and compare: 64 columns, a newline at the end. */
export const toPem = (spki: Uint8Array): string => {
  const lines =
    Buffer.from(spki)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join('\n')}\n-----END PUBLIC KEY-----\n`;
};

const fromPem = (pem: string): Buffer => {
  const body = /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----$/.exec(pem)?.[1];
  if (body === undefined) throw new AegisError('NODE_KEY_INVALID', 'It is not a PEM public key.');
  return Buffer.from(body, 'base64');
};

const fromOpenSsh = (line: string): Buffer => {
  const [type = '', base64 = ''] = line.split(/\s+/);
  const curve = curveOfSsh[type];
  if (curve === undefined) throw new AegisError('NODE_KEY_INVALID', 'It is neither PEM nor an ECDSA OpenSSH key.');
  const blob = Buffer.from(base64, 'base64');
  const fields = sshStrings(blob);
  const point = fields[2];
  if (fields.length !== 3 || fields[0]?.toString() !== type || point?.length !== oids[curve].point) {
    throw new AegisError('NODE_KEY_INVALID', 'The OpenSSH key is cut short or damaged.');
  }
  return ecSpki(curve, point);
};

const sshStrings = (blob: Buffer): Buffer[] => {
  const fields: Buffer[] = [];
  let at = 0;
  while (at + 4 <= blob.length) {
    const length = blob.readUInt32BE(at);
    if (at + 4 + length > blob.length) return [];
    fields.push(blob.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return at === blob.length ? fields : [];
};

const der = (tag: number, ...content: Buffer[]): Buffer => {
  const body = Buffer.concat(content);
  const length = body.length < 128 ? [body.length] : [0x81, body.length];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};

const ecSpki = (curve: keyof typeof oids, point: Buffer): Buffer =>
  der(
    0x30,
    der(0x30, der(0x06, Buffer.from(ecPublicKeyOid, 'hex')), der(0x06, Buffer.from(oids[curve].oid, 'hex'))),
    der(0x03, Buffer.from([0]), point),
  );

const isEcSpki = (spki: Buffer): boolean =>
  (Object.keys(oids) as (keyof typeof oids)[]).some((curve) => {
    const { point } = oids[curve];
    return spki.equals(ecSpki(curve, spki.subarray(-point))) && spki.at(-point) === 4;
  });
