import type { Rate } from './token-bucket.ts';

/**
 * What callers do, by what it costs us. `connections`: to begin one, with its TLS handshake. `enrolment`: to bring a node in. `calls`: the
 * small ones of nodes. `uploads`: parts of updates. `control`: what operators and the `flwr` command ask. `rest`: requests under /api/v1.
 * `registrations`: new nodes over REST.
 */
export const CALL_CLASSES = [
  'connections',
  'enrolment',
  'calls',
  'uploads',
  'control',
  'rest',
  'registrations',
] as const;
export type CallClass = (typeof CALL_CLASSES)[number];

/**
 * Whose allowance pays. `address`: of whoever has not shown who it is; what is spent on calls comes back once it has, so a thousand honest
 * nodes behind one router spend next to nothing. `everybody`: of all such addresses together. `caller`: of one node, or one operator.
 */
export type Payer = 'address' | 'everybody' | 'caller';

export type Rates = Readonly<Record<CallClass, Readonly<Record<Payer, Rate>>>>;

const ENROLLING: ReadonlySet<string> = new Set(['register-node', 'create-node']);
const UPLOADING: ReadonlySet<string> = new Set(['push-object']);

/** Of Flower's methods, in kebab-case. */
export const classOf = (api: 'fleet' | 'control', method: string): CallClass => {
  if (api === 'control') return 'control';
  if (ENROLLING.has(method)) return 'enrolment';
  return UPLOADING.has(method) ? 'uploads' : 'calls';
};

/** Whoever has an IPv6 address has the 2^64 of its network. An IPv4 address is the same in both spellings. */
export const householdOf = (address: string): string => {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice('::ffff:'.length);
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail = ''] = address.split('::');
  const pieces = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const zeros = Math.max(8 - pieces(head).length - pieces(tail).length, 0);
  return [...pieces(head), ...Array<string>(address.includes('::') ? zeros : 0).fill('0'), ...pieces(tail)]
    .slice(0, 4)
    .join(':');
};

/** How the gateway fares. `busy`: its processor has no rest. `full`: its memory is running out. */
export const PRESSURES = ['calm', 'busy', 'full'] as const;
export type Pressure = (typeof PRESSURES)[number];

export interface Circumstances {
  readonly pressure: Pressure;
  /** A node at this address has shown who it is. */
  readonly isAtHome: boolean;
}

/** What comes back once the caller has shown who it is. The other classes cost us something for good. */
export const comesBack = (what: CallClass): boolean =>
  what !== 'enrolment' && what !== 'control' && what !== 'registrations';

/**
 * What one call of a stranger takes from its allowance. Under load a flood is over soon, and who shows who it is gets all of it back; when
 * memory runs out nobody new is let in, and connections only from where a node is known.
 */
export const priceOf = (what: CallClass, { pressure, isAtHome }: Circumstances, { burst }: Rate): number => {
  // A node that is known must come to say so; most stock ones make a connection for each heartbeat.
  const mayBeKnown = what === 'connections' && isAtHome;
  if (pressure === 'full' && !mayBeKnown) return Number.POSITIVE_INFINITY;
  if (pressure === 'calm' || what === 'registrations') return 1;
  // Of a small allowance, still some calls.
  return Math.max(1, Math.min(comesBack(what) && !isAtHome ? 100 : 4, burst / 20));
};
