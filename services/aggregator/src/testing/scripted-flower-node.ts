// What a stock node with `secaggplus_mod` does, without its cryptography: it asks of its server what the original asks, and masks with
// small numbers, so that sums can be checked exactly. It remembers what it was asked for.
import type { Answer, Keys, Sealed } from '../domain/flower-secagg/answer.ts';
import type { Request } from '../domain/flower-secagg/request.ts';
import type { NodeId } from '../domain/flower-secagg/terms.ts';

const MODULUS = 2 ** 32;
const BODY = 'MHYwEAYHKoZIzj0CAQYFK4EEACID';

/** A key in form only: the node, the round and which of its two. */
function pem(node: NodeId, round: number, which: 1 | 2): Uint8Array {
  const own = `${BODY}${`${node}x${round}x${which}`.padEnd(36 + 64 + 32, 'A')}`;
  const lines = `${own.slice(0, 64)}\n${own.slice(64, 128)}\n${own.slice(128)}`;
  return new TextEncoder().encode(`-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`);
}

/** Of a text, below the modulus. */
function numberOf(text: string): number {
  let hash = 2166136261;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619) >>> 0;
  return hash;
}

export const privateMask = (node: NodeId, round: number): number => numberOf(`seed ${node} ${round}`);

/** What `node` adds for its pair with `peer`; the peer adds the opposite. */
export const pairMask = (node: NodeId, peer: NodeId, round: number): number => {
  const [low, high] = node < peer ? [node, peer] : [peer, node];
  return (node > peer ? 1 : -1) * numberOf(`pair ${low} ${high} ${round}`);
};

export const modulo = (value: number): number => ((value % MODULUS) + MODULUS) % MODULUS;

function share(index: number, bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  new DataView(made.buffer).setUint32(0, index, true);
  return made;
}

export class ScriptedNode {
  readonly id: NodeId;
  readonly value: number;
  readonly askedSeeds = new Set<NodeId>();
  readonly askedKeys = new Set<NodeId>();
  masked = 0;
  private round = 0;
  private threshold = 0;
  private shareNum = 0;
  private stage: Request['stage'] = 'unmask';
  private readonly peers = new Map<NodeId, number>();
  /** By owner, the index of the share that this node holds. */
  private readonly held = new Map<NodeId, number>();

  constructor(id: NodeId, value: number) {
    this.id = id;
    this.value = value;
  }

  get keys(): Keys {
    return { pk1: pem(this.id, this.round, 1), pk2: pem(this.id, this.round, 2) };
  }

  /** Throws where the original does: the node then says that it failed. */
  answer(request: Request): Answer {
    const node = this.id;
    switch (request.stage) {
      case 'setup':
        this.restart(request);
        return { stage: 'setup', node, ...this.keys };
      case 'share_keys':
        this.expectAfter('setup', 'share_keys');
        return { stage: 'share_keys', node, sealed: this.share(request.keys) };
      case 'collect_masked_vectors':
        this.expectAfter('share_keys', 'collect_masked_vectors');
        this.mask(request.sealed);
        return { stage: 'collect_masked_vectors', node };
      case 'unmask':
        this.expectAfter('collect_masked_vectors', 'unmask');
        return { stage: 'unmask', node, openings: this.open(request.active, request.dead) };
    }
  }

  private restart({ threshold, shareNum }: Extract<Request, { stage: 'setup' }>): void {
    Object.assign(this, { stage: 'setup', threshold, shareNum, round: this.round + 1 });
    for (const memory of [this.peers, this.held, this.askedSeeds, this.askedKeys]) memory.clear();
  }

  private expectAfter(before: Request['stage'], now: Request['stage']): void {
    if (this.stage !== before) throw new Error(`node ${this.id} is asked ${now} after ${this.stage}`);
    this.stage = now;
  }

  private share(shown: Extract<Request, { stage: 'share_keys' }>['keys']): Sealed[] {
    const ids = shown.map(({ node }) => node);
    if (ids.length < this.threshold || ids.length > this.shareNum)
      throw new Error(`node ${this.id} is shown ${ids.length}`);
    const texts = shown.flatMap(({ pk1, pk2 }) => [String(pk1), String(pk2)]);
    if (new Set(texts).size !== texts.length) throw new Error(`node ${this.id} is shown one key twice`);
    const own = shown.find(({ node }) => node === this.id);
    if (String(own?.pk1) !== String(this.keys.pk1)) throw new Error(`node ${this.id} is not shown its own key`);
    const sealed: Sealed[] = [];
    for (const [at, to] of ids.entries()) {
      if (to === this.id) this.held.set(to, at + 1);
      else {
        this.peers.set(to, at + 1);
        sealed.push({
          to,
          ciphertext: new TextEncoder().encode(JSON.stringify([String(this.id), String(to), at + 1])),
        });
      }
    }
    return sealed;
  }

  private mask(sealed: Extract<Request, { stage: 'collect_masked_vectors' }>['sealed']): void {
    if (sealed.length + 1 < this.threshold) throw new Error(`node ${this.id} has too few neighbours`);
    let masked = this.value + privateMask(this.id, this.round);
    for (const { from, ciphertext } of sealed) {
      const [src, dst, index] = JSON.parse(new TextDecoder().decode(ciphertext));
      if (!this.peers.has(from) || src !== String(from) || dst !== String(this.id))
        throw new Error(`node ${this.id} got a ciphertext of ${src} for ${dst} as one of ${from}`);
      this.held.set(from, index);
      masked += pairMask(this.id, from, this.round);
    }
    this.masked = modulo(masked);
  }

  private open(active: readonly NodeId[], dead: readonly NodeId[]) {
    if (active.length < this.threshold) throw new Error(`node ${this.id} has too few neighbours`);
    const index = (of: NodeId): number => {
      const found = this.held.get(of);
      if (found === undefined) throw new Error(`node ${this.id} holds no share of ${of}`);
      return found;
    };
    for (const of of active) this.askedSeeds.add(of);
    for (const of of dead) this.askedKeys.add(of);
    return [
      ...active.map((of) => ({ of, share: share(index(of), 52) })),
      ...dead.map((of) => ({ of, share: share(index(of), 324) })),
    ];
  }
}
