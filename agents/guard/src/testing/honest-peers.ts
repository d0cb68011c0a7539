import {
  type Advert,
  type CertifiedAdvert,
  type Confirmation,
  type Grid,
  type SealedShares,
  SecaggClient,
  type Terms,
  termsDigest,
  type UnmaskRequest,
} from '@aegis/core-native/secagg';
import type { Signing } from '../flows/signing.ts';
import { bytesOf } from './npy.ts';

export interface NamedAdvert {
  readonly advert: Advert;
  readonly certificate: string;
}

interface Peer {
  readonly node: string;
  readonly signing: Signing;
  readonly client: SecaggClient;
}

/** The other nodes of a round, honest, on the core's own state machines. */
export class HonestPeers {
  readonly terms: Terms;
  readonly digest: string;
  #peers: Peer[];
  #shares: SealedShares[] = [];

  constructor(terms: Terms, signings: ReadonlyMap<string, Signing>) {
    this.terms = terms;
    this.digest = termsDigest(terms);
    const floors = { cohort: 3, survivors: 3, colluders: 0 };
    const expires = Math.ceil(Date.now() / 1000) + 3_600;
    this.#peers = [...signings].map(([node, signing]) => ({
      ...{ node, signing },
      client: SecaggClient.advertise(node, terms, floors, signing.key, expires),
    }));
  }

  get nodes(): string[] {
    return this.#peers.map(({ node }) => node);
  }

  /** From here on the node says nothing more. */
  drop(node: string): void {
    this.#peers = this.#peers.filter((peer) => peer.node !== node);
  }

  adverts(): NamedAdvert[] {
    return this.#peers.map(({ client, signing }) => {
      if (!client.advert) throw new Error('a fresh client has an advert');
      return { advert: client.advert, certificate: signing.certificatePem };
    });
  }

  async share(adverts: CertifiedAdvert[], others: SealedShares): Promise<void> {
    const now = Math.floor(Date.now() / 1000);
    const own = this.#peers.map(({ client }) => client.shareKeys({ terms: this.digest, adverts }, now));
    this.#shares = [...(await Promise.all(own)), others];
  }

  sharesFor(node: string) {
    return this.#shares.flatMap(({ node: sender, shares }) =>
      shares.filter(({ peer }) => peer === node).map(({ sealed }) => ({ peer: sender, sealed })),
    );
  }

  mask(model: string, grid: Grid, values: { tensors: number[][]; metrics: number[] }): Promise<Buffer[]> {
    const update = { tensors: values.tensors.map(bytesOf), metrics: values.metrics };
    return Promise.all(
      this.#peers.map(({ node, client }) =>
        client.maskInput({ terms: this.digest, model, shares: this.sharesFor(node) }, grid, update),
      ),
    );
  }

  /** Of those who are told that they survived. */
  confirm(survivors: string[]): Promise<Confirmation[]> {
    return Promise.all(
      this.#peers
        .filter(({ node }) => survivors.includes(node))
        .map(({ client, signing }) => client.confirmSurvivors({ terms: this.digest, survivors }, signing.key)),
    );
  }

  unmask(request: UnmaskRequest) {
    return Promise.all(this.#peers.map(({ client }) => client.unmask(request)));
  }
}
