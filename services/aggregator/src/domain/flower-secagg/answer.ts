import { AegisError } from '@aegis/errors';
import type { NodeId } from './terms.ts';

/** By Flower's names, in the order of the protocol. */
export const STAGES = ['setup', 'share_keys', 'collect_masked_vectors', 'unmask'] as const;
export type Stage = (typeof STAGES)[number];

/** Public keys in PEM: of masks, and of the channel between two nodes. */
export interface Keys {
  readonly pk1: Uint8Array;
  readonly pk2: Uint8Array;
}

export interface Sealed {
  readonly to: NodeId;
  readonly ciphertext: Uint8Array;
}

export interface Opening {
  readonly of: NodeId;
  readonly share: Uint8Array;
}

export type Answer =
  | ({ readonly stage: 'setup'; readonly node: NodeId } & Keys)
  | { readonly stage: 'share_keys'; readonly node: NodeId; readonly sealed: readonly Sealed[] }
  /** Its vector is durable, and has been looked at: it will be in the sum. */
  | { readonly stage: 'collect_masked_vectors'; readonly node: NodeId }
  | { readonly stage: 'unmask'; readonly node: NodeId; readonly openings: readonly Opening[] };

/** Each is written once, in one order: the state of a round is the fold of its facts, in whatever process. */
export type Fact =
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The node failed, or is gone. */
  | { readonly kind: 'left'; readonly node: NodeId; readonly stage: Stage }
  /** The time of the stage was over. */
  | { readonly kind: 'closed'; readonly stage: Stage }
  | { readonly kind: 'ended'; readonly reason: string };

/** What no stock node says: it costs the round nothing. */
export const wrongAnswer = (why: string): AegisError => new AegisError('SECAGG_ANSWER', why);

/** P-384 as SubjectPublicKeyInfo; a node that got anything else from a neighbour would fail for it. */
const PUBLIC_KEY =
  /^-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACID[A-Za-z0-9+/]{36}\n[A-Za-z0-9+/]{64}\n[A-Za-z0-9+/]{32}\n-----END PUBLIC KEY-----\n$/;
const MOST_PEM_BYTES = 300;

/** Nodes refuse two equal keys in what they are shown: the second of them must not cost the first its neighbours. */
export function checkKeys({ pk1, pk2 }: Keys, others: Iterable<Keys>): void {
  const [first, second] = [pk1, pk2].map(textOf) as [string, string];
  if (![first, second].every((pem) => PUBLIC_KEY.test(pem)))
    throw wrongAnswer('A public key is not a P-384 key in PEM.');
  if (first === second) throw wrongAnswer('Both public keys are one.');
  for (const other of others) {
    const known = [other.pk1, other.pk2].map(textOf);
    if (known.includes(first) || known.includes(second))
      throw wrongAnswer('A public key is one that another node brought before.');
  }
}

const textOf = (pem: Uint8Array): string => (pem.length > MOST_PEM_BYTES ? '' : String.fromCharCode(...pem));

/** Flower's own have 612 bytes. */
const MOST_SEALED_BYTES = 4096;

export function checkSealed(sealed: readonly Sealed[], receivers: ReadonlySet<NodeId>): void {
  expectAll(
    'ciphertexts',
    sealed.map(({ to }) => to),
    receivers,
  );
  const odd = sealed.find(({ ciphertext }) => ciphertext.length === 0 || ciphertext.length > MOST_SEALED_BYTES);
  if (odd !== undefined) throw wrongAnswer(`The ciphertext for node ${odd.to} has ${odd.ciphertext.length} bytes.`);
}

const INDEX_BYTES = 4;
const BLOCK_BYTES = 16;
/** A seed of 32 bytes is padded by a whole block. */
const SEED_SHARE_BYTES = INDEX_BYTES + 3 * BLOCK_BYTES;
/** Flower's own have 324 bytes. */
const MOST_SHARE_BYTES = INDEX_BYTES + 64 * BLOCK_BYTES;

/** Its place, from 1, among the shares of its secret. */
export const indexOf = (share: Uint8Array): number =>
  new DataView(share.buffer, share.byteOffset, share.byteLength).getUint32(0, true);

/** Of an active node the share of its seed, of a dead one that of its key; `shares` is the highest index. */
export function checkOpenings(
  openings: readonly Opening[],
  active: ReadonlySet<NodeId>,
  dead: ReadonlySet<NodeId>,
  shares: number,
): void {
  expectAll(
    'shares',
    openings.map(({ of }) => of),
    new Set([...active, ...dead]),
  );
  for (const { of, share } of openings) {
    const { length } = share;
    const fits = active.has(of)
      ? length === SEED_SHARE_BYTES
      : length > SEED_SHARE_BYTES && length <= MOST_SHARE_BYTES && (length - INDEX_BYTES) % BLOCK_BYTES === 0;
    if (!fits) throw wrongAnswer(`The share of node ${of} has ${length} bytes.`);
    const index = indexOf(share);
    if (index < 1 || index > shares) throw wrongAnswer(`The share of node ${of} has the index ${index}.`);
  }
}

function expectAll(what: string, got: readonly NodeId[], expected: ReadonlySet<NodeId>): void {
  const nodes = new Set(got);
  if (nodes.size !== got.length) throw wrongAnswer(`Two ${what} are about one node.`);
  const stranger = got.find((node) => !expected.has(node));
  if (stranger !== undefined) throw wrongAnswer(`Among ${what} is one about node ${stranger}, which nobody asked for.`);
  if (nodes.size !== expected.size) throw wrongAnswer(`There are ${nodes.size} ${what} instead of ${expected.size}.`);
}
