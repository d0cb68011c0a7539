import { readFile } from 'node:fs/promises';
import { AegisError } from '@aegis/errors';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import { LOOK_EVERY_MS, lookAgain } from './look-again.ts';
import { Revocations } from './revocations.ts';
import { type CertifiedKey, openSigningCertificate, readRoots } from './signing-certificate.ts';

export interface SigningTrustFiles {
  /** PEM file of the federation's roots. */
  readonly roots: string;
  /** PEM file of what they revoked, signed by them; absent: nothing is known to be revoked. */
  readonly crl?: string | undefined;
}

/** Whose signing certificates count. Roots stay as they were read; the list of revoked ones is read again when its file changes. */
export class SigningTrust {
  readonly #roots: ReturnType<typeof readRoots>;
  readonly #crl: string | undefined;
  #list: { readonly text: string; readonly revoked: Revocations } | null = null;

  private constructor(roots: ReturnType<typeof readRoots>, crl?: string) {
    this.#roots = roots;
    this.#crl = crl;
  }

  /** In these roots (PEM), of which nothing is known to be revoked. */
  static in(roots: string): SigningTrust {
    return new SigningTrust(readRoots(roots));
  }

  /** CONFIG_INVALID for files that cannot be used. */
  static async open(files: SigningTrustFiles): Promise<SigningTrust> {
    const roots = readRoots(await contentOf(files.roots));
    if (roots.length === 0) throw invalid(`${files.roots} holds no certificate.`);
    const trust = new SigningTrust(roots, files.crl);
    await trust.#look();
    return trust;
  }

  /** SECAGG_CERTIFICATE for a certificate that is not good now; also for any, once the list is over. */
  openCertificate(pem: string, now: number): CertifiedKey {
    return openSigningCertificate(pem, this.#roots, now, this.#list?.revoked ?? null);
  }

  /** Looks for a new list again and again. One that cannot be used changes nothing. Returns the way to stop. */
  watch(clock: Clock, log: Logger): () => void {
    if (this.#crl === undefined) return () => {};
    let told = '';
    const look = async (): Promise<void> => {
      try {
        if (await this.#look()) log.info('another list of revoked signing certificates holds now');
        told = '';
      } catch (caught) {
        const error = AegisError.from(caught);
        if (told !== error.message) {
          log.error({ err: error }, 'the list of revoked certificates cannot be used; the one before stays');
        }
        told = error.message;
      }
    };
    return lookAgain(clock, LOOK_EVERY_MS, look);
  }

  /** true: it is another list than before. */
  async #look(): Promise<boolean> {
    if (this.#crl === undefined) return false;
    const text = await contentOf(this.#crl);
    if (text === this.#list?.text) return false;
    try {
      const revoked = await Revocations.readSigned(text, this.#roots.map(String));
      this.#list = { text, revoked };
      return true;
    } catch (cause) {
      throw invalid(
        `${this.#crl} is no list of what the roots revoked: ${cause instanceof Error ? cause.message : ''}`,
        cause,
      );
    }
  }
}

const contentOf = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw invalid(`${file} cannot be read.`, cause);
  }
};

const invalid = (detail: string, cause?: unknown): AegisError => new AegisError('CONFIG_INVALID', detail, cause);
