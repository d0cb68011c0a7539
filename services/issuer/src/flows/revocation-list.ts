import { createCrl } from '@aegis/service-kit';
import { revokedSerials } from '../domain/holder.ts';
import type { Ground } from './ground.ts';

/** Gateways that cannot reach the issuer go by its last list for so long, and refuse its nodes then. */
const LIST_DAYS = 3;
const NEW_EVERY_MS = 3_600_000;

/** The list of what was revoked, signed anew when it changes, and every hour. */
export class RevocationList {
  readonly #ground: Ground;
  #made: { readonly of: string; readonly at: number; readonly crl: string } | null = null;

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  /** PEM, one list for each authority. All name all serials: which of them signed a certificate makes no difference to who looks for it. */
  read(): Promise<string> {
    const { authority, former, register, turns, clock } = this.#ground;
    return turns.take(async () => {
      const now = clock.now();
      const revoked = revokedSerials(register.all(), now);
      const of = JSON.stringify(revoked);
      const last = this.#made;
      if (last !== null && last.of === of && now >= last.at && now - last.at < NEW_EVERY_MS) return last.crl;
      const lists = [authority, ...former].map((by) => createCrl(by, revoked, LIST_DAYS, now));
      const crl = (await Promise.all(lists)).join('');
      this.#made = { of, at: now, crl };
      return crl;
    });
  }
}
