/** What decides when a certificate is followed by another. Unix milliseconds. */
export interface Life {
  readonly issuedAt: number;
  readonly notAfter: number;
}

/** So much of its life is over when the next one is asked for: two more days of a week are left for whatever goes wrong. */
const DUE_AT = 2 / 3;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 3_600_000;

export const renewalDue = ({ issuedAt, notAfter }: Life): number => issuedAt + (notAfter - issuedAt) * DUE_AT;

/**
 * How long to wait after `failures` tries in a row that brought nothing: doubling, an hour at most, and never past what is left of the
 * certificate, so that the last try is made while it still counts. `chance` in [0, 1) keeps guards apart that failed together.
 */
export const retryAfter = ({ notAfter }: Life, now: number, failures: number, chance: number): number => {
  const bound = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 30));
  return Math.min(bound * (0.5 + chance / 2), Math.max((notAfter - now) / 2, FIRST_RETRY_MS));
};
