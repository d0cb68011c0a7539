import { type PlanValues, quote, refused } from './plan-values.ts';

/** What nodes must have agreed to before they are asked: a purpose, and which text of it. */
export interface ConsentTerms {
  readonly purpose: string;
  readonly version: string;
}

/** What a node said of one thing, last, as the gateway keeps it. */
export interface Said {
  /** `purpose:NAME` or `run:ID`. */
  readonly to: string;
  readonly version: string;
  readonly given: boolean;
}

const PURPOSE = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const VERSION = /^[A-Za-z0-9._-]{1,64}$/;

/** null: the run asks whoever is there. */
export const readConsent = (value: PlanValues): ConsentTerms | null => {
  const [purposeKey, versionKey] = ['aegis.consent.purpose', 'aegis.consent.version'] as const;
  if (!value.mentions('aegis.consent.')) return null;
  const purpose = value.text(purposeKey, '');
  const version = value.text(versionKey, '');
  if (!PURPOSE.test(purpose))
    throw refused(
      purposeKey,
      `is ${quote(purpose)}; it must be a name of lower-case letters, digits and ._- that nodes can agree to.`,
    );
  if (!VERSION.test(version))
    throw refused(
      versionKey,
      `is ${quote(version)}; it must name the version of the text that nodes agree to, such as "2026-11".`,
    );
  return { purpose, version };
};

export const consentNotes = ({ purpose, version }: ConsentTerms): string[] => [
  `only nodes that consented to ${purpose}, version ${version}, are asked (aegis consent ls)`,
];

/** Does this node agree to the run? What it said of the very run comes before what it said of the purpose. */
export const agrees = (said: readonly Said[], { purpose, version }: ConsentTerms, runId: bigint): boolean => {
  const ofRun = said.find(({ to }) => to === `run:${runId}`);
  const ofPurpose = said.find(({ to }) => to === `purpose:${purpose}`);
  const decisive = ofRun !== undefined && (!ofRun.given || ofRun.version === version) ? ofRun : ofPurpose;
  return decisive?.given === true && decisive.version === version;
};
