import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openSshPrivateKey, openSshPublicLine, readPrivateKey } from './openssh-private-key.ts';

// Written by `ssh-keygen` 9.2 (throw-away keys, used nowhere).
const fixtures = {
  'P-256': {
    publicLine:
      'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHqTbWKpBoWIYkVEhGXQQaFYk3kv2QmAmqQRgk9o4LT6KUTAB4LsqCuh98MmbAsGJbBYf5nOJ0EKN6nby0GCq9I= fixture',
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQR6k21iqQaFiGJFRIRl0EGhWJN5L9kJ
gJqkEYJPaOC0+ilEwAeC7KgroffDJmwLBiWwWH+ZzidBCjep28tBgqvSAAAAoNo3hnTaN4
Z0AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHqTbWKpBoWIYkVE
hGXQQaFYk3kv2QmAmqQRgk9o4LT6KUTAB4LsqCuh98MmbAsGJbBYf5nOJ0EKN6nby0GCq9
IAAAAhANzO8bhxO8WedKyXluUS0HgqLC34yIH/8mRLrNMtBnApAAAAB2ZpeHR1cmU=
-----END OPENSSH PRIVATE KEY-----
`,
  },
  'P-384': {
    publicLine:
      'ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBMeRsm1s75ixgPJm6UHLwJ2atw5gRIS9e/w+dxWNCn9yINSX8DdOa69tQHFAcgvbKIzdMLiNJJNaVYVbuTny06udnINiA+q2sUB2Qk7gD0EE7uuUUSWhdykT5SGf83Rw8g== fixture',
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAiAAAABNlY2RzYS
1zaGEyLW5pc3RwMzg0AAAACG5pc3RwMzg0AAAAYQTHkbJtbO+YsYDyZulBy8CdmrcOYESE
vXv8PncVjQp/ciDUl/A3TmuvbUBxQHIL2yiM3TC4jSSTWlWFW7k58tOrnZyDYgPqtrFAdk
JO4A9BBO7rlFEloXcpE+Uhn/N0cPIAAADQpzwhVqc8IVYAAAATZWNkc2Etc2hhMi1uaXN0
cDM4NAAAAAhuaXN0cDM4NAAAAGEEx5GybWzvmLGA8mbpQcvAnZq3DmBEhL17/D53FY0Kf3
Ig1JfwN05rr21AcUByC9sojN0wuI0kk1pVhVu5OfLTq52cg2ID6raxQHZCTuAPQQTu65RR
JaF3KRPlIZ/zdHDyAAAAMG7PRPOWa/gfrc4mq27gu7T61Yk/sHIjmts5JjH85mml00cNf8
EIQPE8lk0ZmfmeVwAAAAdmaXh0dXJlAQ==
-----END OPENSSH PRIVATE KEY-----
`,
  },
  'P-521': {
    publicLine:
      'ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAA3eqhNy6VCdmzZDgsgxxS+1mupM9QcikyacclTNvxt+5Vvpv3XLui28BUsHtxAqaKzkF80E4Cj/54iShu6pFIEdQDW0SEo/VrTqf3vTRKUoaqxeQG8eMgcyPl4dSVVefCgVuuzo6wlbLHPN8Nj3nF35nTBqmZt5bEDpivdp0M2BkMfNA== fixture',
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAArAAAABNlY2RzYS
1zaGEyLW5pc3RwNTIxAAAACG5pc3RwNTIxAAAAhQQAN3qoTculQnZs2Q4LIMcUvtZrqTPU
HIpMmnHJUzb8bfuVb6b91y7otvAVLB7cQKmis5BfNBOAo/+eIkobuqRSBHUA1tEhKP1a06
n9700SlKGqsXkBvHjIHMj5eHUlVXnwoFbrs6OsJWyxzzfDY95xd+Z0wapmbeWxA6Yr3adD
NgZDHzQAAAEIWEvculhL3LoAAAATZWNkc2Etc2hhMi1uaXN0cDUyMQAAAAhuaXN0cDUyMQ
AAAIUEADd6qE3LpUJ2bNkOCyDHFL7Wa6kz1ByKTJpxyVM2/G37lW+m/dcu6LbwFSwe3ECp
orOQXzQTgKP/niJKG7qkUgR1ANbRISj9WtOp/e9NEpShqrF5Abx4yBzI+Xh1JVV58KBW67
OjrCVssc83w2PecXfmdMGqZm3lsQOmK92nQzYGQx80AAAAQgGVIpJdV0Z6wdIbWZjJUuJ7
9DcFAyKWR+Pkls9Pn41RZn6KaeehDt3d26e03No+lYTC3yJOjEqYHSWUPvCfwf45ogAAAA
dmaXh0dXJlAQID
-----END OPENSSH PRIVATE KEY-----
`,
  },
};
const encrypted = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAPe2Ko8y
l6yFGf1oNMuMBxAAAAEAAAAAEAAACIAAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlz
dHAzODQAAABhBHl7apMu56bvrFgNIou4ibnWNJU7fdei3/4caJEqdiDWsyRgtiv7yIgzzQ
+EuLavA/I9BFXkywuwYzXlooXNfVgGkFLWSGsCvaNMCRRbpCbkP3xgncGLfsTkgp5W3yvh
1gAAANB4Yvzyaa8U1Fuf14d9oo3bHPHoKdxBQ1rSQPyAGYB5dncCAL13wdO6OHJ/wjTykV
pXRU85Y5TEkqtx6fro7wli2K7iHFCiOwAlce6s7Dd1yjiB7NUIKrTXoK5Bvm7Lfndi86nR
CQKNBuJ0aMZm6xGwU37NXEVM2T4p2HP5jf1gBshd0PIlb7hkqbSl8k9E31I83uo8IeIyQT
cviW86hELg2YmznjPEAOgLWmUd8lDQM6ZNJ3k9dfYDBGPVJyg5BjogeBOL3jpopAe/b+3W
l6yA
-----END OPENSSH PRIVATE KEY-----
`;
const ed25519 = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBW7z+jX5lHA/ysrSxEt3xfujjWHjdyste4I8wBysq0nwAAAJCNHS2BjR0t
gQAAAAtzc2gtZWQyNTUxOQAAACBW7z+jX5lHA/ysrSxEt3xfujjWHjdyste4I8wBysq0nw
AAAEBSXxXDA+wobWejmyfQe6Sq6HgDyQcmQvzMHnI1I5MHGFbvP6NfmUcD/KytLES3fF+6
ONYeN3Ky17gjzAHKyrSfAAAAB2ZpeHR1cmUBAgMEBQY=
-----END OPENSSH PRIVATE KEY-----
`;

const pairOn = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });

describe('OpenSSH private keys', () => {
  for (const [name, fixture] of Object.entries(fixtures)) {
    it(`written by ssh-keygen on ${name} are read, with the public key they belong to`, () => {
      const key = readPrivateKey(fixture.privateKey);
      expect(openSshPublicLine(key, 'fixture')).toBe(fixture.publicLine);
    });
  }

  for (const curve of ['prime256v1', 'secp384r1', 'secp521r1']) {
    it(`written here on ${curve} are read back as the same key, whatever the length of their numbers`, () => {
      for (let round = 0; round < 40; round++) {
        const { privateKey, publicKey } = pairOn(curve);
        const again = readPrivateKey(openSshPrivateKey(privateKey, 'me', randomBytes(4)));
        const signature = sign('sha256', Buffer.from('text'), again);
        expect(verify('sha256', Buffer.from('text'), publicKey, signature)).toBe(true);
      }
    });
  }

  it('in PEM form are read as well', () => {
    const { privateKey, publicKey } = pairOn('secp384r1');
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    expect(createPublicKey(readPrivateKey(pem)).equals(publicKey)).toBe(true);
  });

  it('with a passphrase are refused in words', () => {
    expect(() => readPrivateKey(encrypted)).toThrow('protected by a passphrase');
  });

  it('of another kind are refused in words', () => {
    expect(() => readPrivateKey(ed25519)).toThrow('ssh-ed25519 key, Flower takes ECDSA');
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ format: 'pem', type: 'pkcs8' });
    expect(() => readPrivateKey(rsa.toString())).toThrow('rsa key, Flower takes ECDSA');
    const koblitz = pairOn('secp256k1').privateKey.export({ format: 'pem', type: 'pkcs8' });
    expect(() => readPrivateKey(koblitz.toString())).toThrow('secp256k1 is not P-256');
  });

  it('that are cut off are refused in words, wherever the cut is', () => {
    const text = fixtures['P-384'].privateKey;
    const lines = text.split('\n');
    for (let kept = 1; kept < lines.length - 1; kept++) {
      const cut = [...lines.slice(0, kept), '-----END OPENSSH PRIVATE KEY-----'].join('\n');
      if (kept < lines.length - 2) expect(() => readPrivateKey(cut)).toThrow('cannot be used');
    }
    expect(() => readPrivateKey(lines.slice(0, 4).join('\n'))).toThrow('cut off');
    expect(() => readPrivateKey('nonsense')).toThrow('neither OpenSSH nor PEM');
  });
});
