import { createIssuer, openNodeChain, Revocations, readRoots } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import type { Register } from '../store/contract.ts';
import { memoryIssuer, newKey, requestFor } from '../testing/issuer.ts';
import { issueFirst, renew } from './certify-key.ts';
import { RevocationList } from './revocation-list.ts';
import { revoke } from './revoke.ts';

const day = 86_400_000;
const keyPem = newKey();
const csr = await requestFor(keyPem);
const first = { name: 'ada', invitation: 'i1', csr };
const code = (wanted: string) => ({ code: wanted });
const derOf = (chain: string) => new Uint8Array(readRoots(chain)[0]?.raw ?? Buffer.alloc(0)) as Uint8Array<ArrayBuffer>;

describe('an issuer', () => {
  it('certifies the key of a request under the name of the invitation', async () => {
    const { ground, root, clock } = await memoryIssuer();
    const chain = await issueFirst(ground, first);
    const opened = openNodeChain(chain, { roots: readRoots(root.certPem), keyPem, now: clock.now() });
    expect(opened).toMatchObject({ name: 'ada', notAfter: Math.floor((clock.now() + 7 * day) / 1000) * 1000 });
  });

  it('answers the same to who did not hear, and never signs for a second key', async () => {
    const { ground, issued } = await memoryIssuer();
    const stranger = await requestFor(newKey());
    const asked = [csr, csr, stranger, csr, stranger].map((one) =>
      issueFirst(ground, { ...first, csr: one }).catch((error: Error) => error),
    );
    const [chain, again, refused, third, fourth] = await Promise.all(asked);
    expect([again, third]).toEqual([chain, chain]);
    for (const one of [refused, fourth]) expect(one).toMatchObject(code('ISSUER_NAME_TAKEN'));
    expect(issued).toEqual(['first', 'again', 'again']);
  });

  it('goes on where it died between signing and writing down: nobody was told, and one is issued', async () => {
    const { ground, register, issued } = await memoryIssuer();
    const dying: Register = {
      ...{ of: (name) => register.of(name), all: () => register.all(), close: () => {} },
      write: () => {
        throw new Error('killed');
      },
    };
    await expect(issueFirst({ ...ground, register: dying }, first)).rejects.toThrow('killed');
    expect(register.all()).toEqual([]);
    await issueFirst(ground, first);
    expect(issued).toEqual(['first']);
  });

  it('goes on where its answer was lost after writing down: the same certificate', async () => {
    const { ground } = await memoryIssuer();
    const lost = await issueFirst(ground, first);
    expect(await issueFirst({ ...ground }, first)).toBe(lost);
  });

  it('has each certificate followed by the next for the same key, and by none once it is over or revoked', async () => {
    const { ground, clock, issued } = await memoryIssuer();
    const chain = await issueFirst(ground, first);
    expect(await renew(ground, { name: 'ada', csr })).toBe(chain);
    await clock.advance(5 * day);
    const next = await renew(ground, { name: 'ada', csr });
    expect(next).not.toBe(chain);
    await expect(renew(ground, { name: 'ada', csr: await requestFor(newKey()) })).rejects.toMatchObject(
      code('ISSUER_NAME_TAKEN'),
    );
    await expect(renew(ground, { name: 'bob', csr })).rejects.toMatchObject(code('ISSUER_UNKNOWN'));
    await clock.advance(7 * day);
    await expect(renew(ground, { name: 'ada', csr })).rejects.toMatchObject(code('ISSUER_OVER'));
    await issueFirst(ground, { ...first, invitation: 'i2' });
    expect(await revoke(ground, 'ada')).toBe(true);
    await expect(renew(ground, { name: 'ada', csr })).rejects.toMatchObject(code('ISSUER_REVOKED'));
    await expect(issueFirst(ground, { ...first, invitation: 'i3' })).rejects.toMatchObject(code('ISSUER_REVOKED'));
    expect(issued).toEqual(['first', 'again', 'next', 'first', 'revoked']);
  });

  it.each(['', 'Ada', '-ada', 'a/b', 'ada\n', `${'a'.repeat(64)}`, '../ada'])(
    'certifies nobody as %j',
    async (name) => {
      const { ground } = await memoryIssuer();
      await expect(issueFirst(ground, { ...first, name })).rejects.toMatchObject(code('INVITATION_NAMELESS'));
    },
  );

  it('reads no request that is none, and remembers nothing of it', async () => {
    const { ground, register } = await memoryIssuer();
    for (const bad of [Buffer.alloc(0), Buffer.alloc(9_000), csr.subarray(0, 100), Buffer.from('hello')]) {
      await expect(issueFirst(ground, { ...first, csr: bad })).rejects.toMatchObject(code('CSR_INVALID'));
    }
    expect(register.all()).toEqual([]);
  });

  it('stops when its own certificate is about to end', async () => {
    const { ground, clock } = await memoryIssuer({ issuerDays: 1 });
    await clock.advance(day - 30_000);
    await expect(issueFirst(ground, first)).rejects.toMatchObject(code('ISSUER_EXPIRED'));
  });
});

describe('an issuer that takes the place of another', () => {
  it('issues under its own certificate, answers what the other issued, and signs the lists of both', async () => {
    const before = await memoryIssuer();
    const chain = await issueFirst(before.ground, first);
    const { notAfter, ...authority } = await createIssuer(
      before.root,
      { name: 'edge-2', days: 90 },
      before.clock.now(),
    );
    const ground = { ...before.ground, authority, notAfter, former: [before.ground.authority] };
    expect(await issueFirst(ground, first)).toBe(chain);
    await before.clock.advance(5 * day);
    const next = await renew(ground, { name: 'ada', csr });
    expect(next.endsWith(authority.certPem)).toBe(true);
    await revoke(ground, 'ada');
    const crl = await new RevocationList(ground).read();
    const revocations = await Revocations.read(crl);
    expect([revocations.has(derOf(chain)), revocations.has(derOf(next))]).toEqual([true, true]);
    expect(crl.match(/BEGIN X509 CRL/g)).toHaveLength(2);
  });
});

describe('the list of what was revoked', () => {
  it('names certificates of revoked names from then on, and is signed anew only when it changes, or is old', async () => {
    const { ground, clock } = await memoryIssuer();
    const list = new RevocationList(ground);
    const [chain, bob] = [await issueFirst(ground, first), await issueFirst(ground, { ...first, name: 'bob' })];
    const empty = await list.read();
    expect((await Revocations.read(empty)).has(derOf(chain))).toBe(false);
    expect(await list.read()).toBe(empty);
    expect(await revoke(ground, 'nobody')).toBe(false);
    expect(await list.read()).toBe(empty);
    await revoke(ground, 'ada');
    const named = await list.read();
    const revocations = await Revocations.read(named);
    expect([revocations.has(derOf(chain)), revocations.has(derOf(bob))]).toEqual([true, false]);
    await clock.advance(3_599_000);
    expect(await list.read()).toBe(named);
    await clock.advance(2_000);
    expect(await list.read()).not.toBe(named);
  });
});
