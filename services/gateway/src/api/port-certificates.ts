import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { AegisError } from '@aegis/errors';
import type { OnePort, PortTls } from '@aegis/flower-wire';
import {
  type Clock,
  counterFromZero,
  LOOK_EVERY_MS,
  type Logger,
  lookAgain,
  Revocations,
  type Telemetry,
  watchCertificate,
} from '@aegis/service-kit';
import type { GatewayConfig } from '../config.ts';
import { type CertifiedConnections, type Trust, trustOf } from './certified-connections.ts';
import type { Counted } from './counted.ts';

type TlsFiles = NonNullable<GatewayConfig['tls']>;
/** Who certifies nodes and has revoked something, of which no file says anything. */
type Issuer = { standing(): Promise<Standing> } | null;
interface Standing {
  readonly certificates: string;
  readonly crl: string;
}

/** What the files said, all at one time. */
interface Material {
  readonly tls: PortTls;
  readonly trust: Trust | null;
  /** Tells one content from another. */
  readonly digest: string;
}

export interface Looking {
  readonly port: Pick<OnePort, 'replaceCertificate'>;
  readonly live: CertifiedConnections;
  readonly clock: Clock;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly counted: Pick<Counted, 'refused'>;
}

/**
 * Certificate, authorities and revocations of the port, as they are in their files now. New connections get what was read last; open ones
 * that it no longer covers are ended. Files that cannot be used change nothing: what was read before stays until they can.
 */
export class PortCertificates {
  readonly #files: TlsFiles;
  readonly #issuer: Issuer;
  #material: Material;
  /** The issuer, as it was heard last; null: it never was. */
  #standing: Standing | null;
  #isIssuerAway = false;

  private constructor(files: TlsFiles, issuer: Issuer, standing: Standing | null, material: Material) {
    this.#files = files;
    this.#issuer = issuer;
    this.#standing = standing;
    this.#material = material;
  }

  /** CONFIG_INVALID, with the name of the file's key, for what cannot be used. */
  static async open(files: TlsFiles, issuer: Issuer): Promise<PortCertificates> {
    const standing = (await issuer?.standing().catch(() => null)) ?? null;
    return new PortCertificates(files, issuer, standing, await read(files, standing));
  }

  get tls(): PortTls {
    return this.#material.tls;
  }

  /** Looks again and again; returns the way to stop. */
  watch(looking: Looking): () => void {
    const { clock, telemetry } = looking;
    const { meter } = telemetry;
    const reloads = counterFromZero(
      meter,
      'aegis_gateway_certificate_reloads',
      { description: 'Changes of certificate, authorities or revocations taken over, or refused, by outcome' },
      [{ outcome: 'taken' }, { outcome: 'refused' }],
    );
    watchCertificate(meter, 'edge', () => this.#material.tls.cert);
    meter
      .createObservableGauge('aegis_certificate_list_expiry_timestamp_seconds', {
        description:
          'When the first list of revoked node certificates is over, Unix seconds; after it nobody is let in.',
      })
      .addCallback((result) => {
        const endsAt = this.#material.trust?.revocations?.endsAt ?? Number.POSITIVE_INFINITY;
        if (Number.isFinite(endsAt)) result.observe(endsAt / 1000);
      });
    let refused = '';
    const look = async (): Promise<void> => {
      const found = await this.#lookOnce(looking);
      const told = found instanceof AegisError ? found.message : '';
      if (found === true) reloads.add(1, { outcome: 'taken' });
      if (told !== '' && told !== refused) {
        reloads.add(1, { outcome: 'refused' });
        looking.log.error({ err: found }, 'the certificates on disk cannot be used; those from before stay');
      }
      refused = told;
    };
    return lookAgain(clock, LOOK_EVERY_MS, look);
  }

  /** Away, it has revoked nothing that anybody could know: its last list counts until it is too old. */
  async #askIssuer({ log }: Looking): Promise<void> {
    const standing = await this.#issuer?.standing().catch((caught: unknown) => AegisError.from(caught));
    const isAway = standing instanceof AegisError;
    if (isAway && !this.#isIssuerAway) log.warn({ err: standing }, 'the issuer does not answer; its last list counts');
    this.#isIssuerAway = isAway;
    if (standing !== undefined && !isAway) this.#standing = standing;
  }

  /** true: something new holds now. */
  async #lookOnce(looking: Looking): Promise<boolean | AegisError> {
    const { port, live, clock, log, counted } = looking;
    let isNew = false;
    let wrong: AegisError | null = null;
    try {
      await this.#askIssuer(looking);
      const found = await read(this.#files, this.#standing);
      if (found.digest !== this.#material.digest) {
        port.replaceCertificate(found.tls);
        this.#material = found;
        isNew = true;
        log.info({ connections: live.size }, 'certificates or lists changed: new connections get the new ones');
      }
    } catch (caught) {
      wrong = AegisError.from(caught);
    }
    const { trust } = this.#material;
    if (trust !== null) {
      live.endThoseNotIn(trust, clock.now(), (error, peer) =>
        counted.refused('port', error, { path: '', status: undefined, peer }),
      );
    }
    return wrong ?? isNew;
  }
}

/** Every list of a file: OpenSSL takes one at a time. */
const LIST = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g;

const read = async (files: TlsFiles, standing: Standing | null): Promise<Material> => {
  const [cert, key, ca, listFile] = await Promise.all([
    contentOf(files, 'cert'),
    contentOf(files, 'key'),
    contentOf(files, 'client-ca'),
    contentOf(files, 'client-crl'),
  ]);
  const crl = listFile === undefined ? undefined : `${listFile}\n${standing?.crl ?? ''}`;
  const tls: PortTls = {
    ...{ cert: cert as Buffer, key: key as Buffer },
    ...(ca && { clients: { ca, ...(crl !== undefined && { crl: crl.match(LIST) ?? [crl] }) } }),
  };
  try {
    createSecureContext({ cert: tls.cert, key: tls.key, ca, crl: tls.clients?.crl });
    const revocations = crl === undefined ? null : await Revocations.read(crl);
    const hash = createHash('sha256');
    for (const content of [cert, key, ca, crl, standing?.certificates])
      hash.update(`${content?.length ?? -1} `).update(content ?? '');
    return {
      tls,
      trust: ca === undefined ? null : trustOf(ca, standing?.certificates ?? '', revocations),
      digest: hash.digest('hex'),
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : '';
    throw new AegisError('CONFIG_INVALID', `tls: certificate, key, authorities and list do not fit: ${why}`, cause);
  }
};

const contentOf = async (files: TlsFiles, name: keyof TlsFiles): Promise<Buffer | undefined> => {
  const file = files[name];
  if (file === undefined) return undefined;
  try {
    return await readFile(file);
  } catch (error) {
    throw new AegisError('CONFIG_INVALID', `tls.${name}: ${file} cannot be read.`, error);
  }
};
