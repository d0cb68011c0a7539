import { type Bucket, type Bus, BusConflict } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import type { Invitation } from '../domain/invitation.ts';
import type { InvitationStore } from './contract.ts';

const ATTEMPTS = 16;

type Stored = Omit<Invitation, 'use'> & {
  use: (Omit<NonNullable<Invitation['use']>, 'nodeId'> & { nodeId: string }) | null;
};

/** One document for each in the bus, by the hash of its token; compare-and-set makes it single use, whichever gateways race. */
export class DurableInvitationStore implements InvitationStore {
  readonly #bucket: Bucket;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async open(bus: Bus): Promise<DurableInvitationStore> {
    return new DurableInvitationStore(await bus.bucket('invitations'));
  }

  async add(invitation: Invitation): Promise<void> {
    await this.#bucket.create(invitation.hash, encode(invitation));
  }

  async change(hash: string, change: (latest: Invitation) => Invitation): Promise<Invitation | null> {
    for (let tries = 0; tries < ATTEMPTS; tries += 1) {
      const entry = await this.#bucket.get(hash);
      if (!entry) return null;
      const before = decode(entry.value);
      const after = change(before);
      if (after === before) return before;
      try {
        await this.#bucket.update(hash, encode(after), entry.revision);
        return after;
      } catch (error) {
        if (!(error instanceof BusConflict)) throw error;
      }
    }
    throw new AegisError('STORE_UNAVAILABLE', 'An invitation changes faster than it can be written.');
  }

  async list(): Promise<Invitation[]> {
    const all: Invitation[] = [];
    for await (const { value } of this.#bucket.entries()) all.push(decode(value));
    return all;
  }
}

const encode = ({ use, ...rest }: Invitation): Buffer =>
  Buffer.from(JSON.stringify({ ...rest, use: use && { ...use, nodeId: use.nodeId.toString() } } satisfies Stored));

const decode = (bytes: Buffer): Invitation => {
  try {
    const { use, ...rest } = JSON.parse(bytes.toString()) as Stored;
    return { ...rest, use: use && { ...use, nodeId: BigInt(use.nodeId) } };
  } catch (cause) {
    throw new AegisError('INTERNAL', 'An invitation cannot be read.', cause);
  }
};
