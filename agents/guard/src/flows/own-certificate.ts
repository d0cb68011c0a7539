import { generateKeyPairSync, type X509Certificate } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import {
  type Clock,
  createSigningRequest,
  type Logger,
  type NodeChain,
  openNodeChain,
  type TlsMaterial,
} from '@aegis/service-kit';
import { renewalDue, retryAfter } from '../domain/renewal.ts';
import type { EnrolmentPeer } from '../peers/contract.ts';
import type { Audit, IdentityStore } from '../store/contract.ts';

/** A day: clocks may be set, and machines sleep. */
const LONGEST_SLEEP_MS = 86_400_000;

export interface CertificateGround {
  readonly identity: IdentityStore;
  readonly server: EnrolmentPeer;
  /** The owner's own copy of the federation's roots: no certificate is used that none of them stands above. */
  readonly roots: readonly X509Certificate[];
  /** Authority of the server's certificate. */
  readonly ca: Buffer;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly chance: () => number;
  readonly audit: Audit;
  readonly log: Logger;
  readonly say: (line: string) => void;
  readonly ending: AbortSignal;
}

export interface OwnCertificate {
  readonly tls: TlsMaterial;
  readonly life: NodeChain;
}

/**
 * The certificate this guard goes by: the one it has, or the one that an invitation brings. The key is on disk before anything is asked,
 * and the same request is made until there is an answer: whatever ends in between, started again it comes to the same certificate.
 */
export const ownCertificate = async (
  ground: CertificateGround,
  invitation: string | undefined,
): Promise<OwnCertificate> => {
  const { identity } = ground;
  const keyPem = (await identity.key()) ?? (await makeKey(identity));
  const chain = await identity.chain();
  if (chain !== null) {
    const opened = open(ground, chain, keyPem);
    if (!(opened instanceof AegisError)) return certificateOf(ground, chain, keyPem, opened);
    if (invitation === undefined) throw new AegisError('GUARD_CERTIFICATE', opened.detail, opened);
  }
  if (invitation === undefined) {
    throw new AegisError('CONFIG_INVALID', 'This guard has no certificate yet: it needs an invitation.');
  }
  const csr = await createSigningRequest(keyPem);
  for (let failures = 0; ; failures += 1) {
    const answer = await ground.server.enrol(invitation, csr).catch((caught: unknown) => AegisError.from(caught));
    if (typeof answer === 'string') return take(ground, answer, keyPem, 'enrolled');
    if (answer.entry.kind !== 'unavailable') throw answer;
    await pause(ground, answer, failures);
  }
};

/** Has each certificate followed by the next, in time, until the guard ends. `use`: connections made from then on show it. */
export const keepCertificate = async (
  ground: CertificateGround,
  first: OwnCertificate,
  use: (tls: TlsMaterial) => void,
): Promise<void> => {
  const { clock, chance, server, log, say, ending } = ground;
  let own = first;
  const keyPem = own.tls.key.toString();
  const csr = await createSigningRequest(keyPem);
  let failures = 0;
  for (;;) {
    const wait =
      failures === 0 ? renewalDue(own.life) - clock.now() : retryAfter(own.life, clock.now(), failures - 1, chance());
    if (wait > 0) await clock.sleep(Math.min(wait, LONGEST_SLEEP_MS), ending);
    ending.throwIfAborted();
    if (wait > LONGEST_SLEEP_MS) continue;
    try {
      const chain = await server.renew(csr, own.tls);
      const next = check(ground, chain, keyPem);
      if (next.notAfter > own.life.notAfter) {
        own = await take(ground, chain, keyPem, 'renewed');
        use(own.tls);
        failures = 0;
      } else failures += 1;
    } catch (caught) {
      const error = AegisError.from(caught);
      failures += 1;
      log.warn({ code: error.code, detail: error.detail }, 'the certificate was not renewed');
      // Once for people: it may be an hour until the next try, and days until it matters.
      if (failures === 1)
        say(`the certificate, good until ${dateOf(own.life.notAfter)}, was not renewed: ${error.message}`);
    }
  }
};

const makeKey = async (identity: IdentityStore): Promise<string> => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await identity.keepKey(pem);
  return pem;
};

/** Checked, then written down, then used. */
const take = async (
  ground: CertificateGround,
  chain: string,
  keyPem: string,
  how: 'enrolled' | 'renewed',
): Promise<OwnCertificate> => {
  const life = check(ground, chain, keyPem);
  await ground.identity.keepChain(chain);
  const until = new Date(life.notAfter).toISOString();
  ground.audit.write({ event: 'certificate', how, name: life.name, until });
  ground.log.info({ how, name: life.name, until }, 'certificate');
  ground.say(`${how} as ${life.name}; the certificate is good until ${dateOf(life.notAfter)}`);
  return certificateOf(ground, chain, keyPem, life);
};

const check = ({ roots, clock }: CertificateGround, chain: string, keyPem: string): NodeChain =>
  openNodeChain(chain, { roots, keyPem, now: clock.now() });

const open = (ground: CertificateGround, chain: string, keyPem: string): NodeChain | AegisError => {
  try {
    return check(ground, chain, keyPem);
  } catch (caught) {
    return AegisError.from(caught);
  }
};

const certificateOf = ({ ca }: CertificateGround, chain: string, keyPem: string, life: NodeChain): OwnCertificate => ({
  life,
  tls: { ca, cert: Buffer.from(chain), key: Buffer.from(keyPem) },
});

const pause = async (
  { clock, chance, say, ending }: CertificateGround,
  error: AegisError,
  failures: number,
): Promise<void> => {
  const endless = { issuedAt: 0, notAfter: Number.MAX_SAFE_INTEGER };
  const wait = Math.min(30_000, retryAfter(endless, clock.now(), failures, chance()));
  say(`no certificate yet (${error.message}); trying again in ${(wait / 1000).toFixed(1)} s`);
  await clock.sleep(wait, ending);
};

const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
