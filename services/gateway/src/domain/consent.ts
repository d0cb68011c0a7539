import { AegisError } from '@aegis/errors';

/** What a node said of one thing, last. */
export interface Consent {
  /** `purpose:NAME`, or `run:ID` of a single run. */
  readonly to: string;
  /** Of the text that was agreed to; "" when nothing ever was. */
  readonly version: string;
  /** false: withdrawn, or declined. */
  readonly given: boolean;
  /** Unix milliseconds, by the clock of the gateway. */
  readonly at: number;
}

/** What a node says now. */
export interface ConsentStatement {
  readonly to: string;
  /** Of a withdrawal it says nothing. */
  readonly version: string;
  readonly given: boolean;
}

/** All that a node said is one small document. */
export const MOST_CONSENTS = 100;
const TO = /^(?:purpose:[a-z0-9][a-z0-9._-]{0,63}|run:(?:0|[1-9]\d{0,19}))$/;
const VERSION = /^[A-Za-z0-9._-]{1,64}$/;

/** After the statement; the same list when it says nothing new. Times stay with what was said then. */
export const afterStatement = (
  before: readonly Consent[],
  { to, version, given }: ConsentStatement,
  now: number,
): readonly Consent[] => {
  if (!TO.test(to)) throw malformed(`"${to.slice(0, 80)}" is neither a purpose nor a run.`);
  if (given && !VERSION.test(version)) throw malformed('The version of the text is missing, or is no name of one.');
  const known = before.find((one) => one.to === to);
  if (known?.given === given && (!given || known.version === version)) return before;
  // Nothing was given: for a purpose there is nothing to take back. A run can be declined, whatever its purpose.
  if (known === undefined && !given && to.startsWith('purpose:')) return before;
  const next = { to, version: given ? version : (known?.version ?? ''), given, at: now };
  const after = [...before.filter((one) => one !== known), next];
  if (after.length <= MOST_CONSENTS) return after;
  // A purpose that was withdrawn is like one that nobody spoke of: the oldest makes room, or an owner could one day not change his mind any more.
  const oldest = after.find(({ to, given }) => !given && to.startsWith('purpose:'));
  if (oldest !== undefined && oldest !== next) return after.filter((one) => one !== oldest);
  throw malformed(`A node says yes or no to ${MOST_CONSENTS} things at most.`);
};

/** A node that says all at once to which purposes it agrees: what it does not name is withdrawn. Single runs are left as they are. */
export const afterPurposes = (
  before: readonly Consent[],
  purposes: readonly { readonly purpose: string; readonly version: string }[],
  now: number,
): readonly Consent[] => {
  const named = purposes.map(({ purpose, version }) => ({ to: `purpose:${purpose}`, version, given: true }));
  const withdrawn = before
    .filter(({ to, given }) => given && to.startsWith('purpose:') && !named.some((one) => one.to === to))
    .map(({ to }) => ({ to, version: '', given: false }));
  return [...withdrawn, ...named].reduce<readonly Consent[]>((list, one) => afterStatement(list, one, now), before);
};

const malformed = (detail: string): AegisError => new AegisError('REQUEST_MALFORMED', detail);
