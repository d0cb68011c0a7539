import type { S3Objects } from '@aegis/cloud';
import { ObjectConflict } from '@aegis/cloud';
import { AegisError } from '@aegis/errors';
import type { Secret } from '@aegis/service-kit';
import { z } from 'zod';
import { codeOf, codeShape, isCode, markShape, plain } from '../anchor-mark.ts';
import { type Anchor, type Position, StaleWrite } from '../contract.ts';

const KIND = 'aegis privacy ledger anchor in an object store';
/** Writings before the newest one that are held against it when the ledger is opened. */
const LOOKED_AT = 10;

const body = z.strictObject({
  /** Grows by one with every history that the operator accepted; within one, pages grow. */
  history: z.number().int().min(0),
  /** Null: the accepted history is empty. */
  mark: z.strictObject(markShape).nullable(),
  code: codeShape,
});

interface Mark {
  readonly history: number;
  readonly position: Position | null;
}

interface Found extends Mark {
  readonly tag: string;
}

/**
 * The anchor as one object of a versioned bucket, compared before it is set: of two writers the one that was overtaken is told so (StaleWrite). Whoever can
 * write to the bucket and has no key can put back an older writing; the newer ones are still there then and give it away, unless it is put back so often
 * that none of them is among those that are looked at: nobody else may have the right to write. An object that was removed is damage as well. OBJECTS_UNAVAILABLE while S3 does not answer: nothing is granted then.
 */
export class S3Anchor implements Anchor {
  private readonly objects: S3Objects;
  private readonly name: string;
  private readonly key: Secret;
  /** As this process read or wrote it last. */
  private known: Found | null | undefined;
  /** Reading and writing go one at a time: what is read must not hide what is being written. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(objects: S3Objects, name: string, key: Secret) {
    this.objects = objects;
    this.name = name;
    this.key = key;
  }

  /** CONFIG_INVALID unless the bucket keeps what was written before. */
  async check(): Promise<void> {
    if ((await this.objects.versions(this.name, 1)) !== null) return;
    throw new AegisError(
      'CONFIG_INVALID',
      'anchor-s3.bucket: its versioning is off; the anchor needs a versioned bucket.',
    );
  }

  read(): Promise<Position | null> {
    return this.alone(async () => (await this.readNewest())?.position ?? null);
  }

  write(position: Position): Promise<void> {
    return this.alone(async () => {
      if (this.known === undefined) await this.readNewest();
      await this.set({ history: this.known?.history ?? 0, position }, this.known?.tag ?? null);
    });
  }

  replace(position: Position | null): Promise<void> {
    return this.alone(async () => {
      const found = await this.objects.read(this.name);
      const before = found === null ? null : this.open(found.content);
      // what cannot be read counts for nothing, and its successor for more than everything before
      const history = Math.max(before?.history ?? 0, ...(await this.older()).map((mark) => mark.history)) + 1;
      await this.set({ history, position }, found?.tag ?? null);
    });
  }

  private async readNewest(): Promise<Found | null> {
    const found = await this.objects.read(this.name);
    if (found === null) {
      if (((await this.objects.versions(this.name, 1)) ?? []).length > 0) throw damaged('was removed');
      this.known = null;
      return null;
    }
    const mark = this.open(found.content);
    if (mark === null) throw damaged('was changed, or was written with another key');
    const newer = (await this.older()).find((one) => isAfter(one, mark));
    if (newer !== undefined)
      throw damaged(
        `vouches for ${mark.position?.entries ?? 0} entries, and did for ${newer.position?.entries ?? 0} before: it was put back`,
      );
    this.known = { ...mark, tag: found.tag };
    return this.known;
  }

  /** The genuine ones among the newest writings. */
  private async older(): Promise<Mark[]> {
    const versions = (await this.objects.versions(this.name, LOOKED_AT)) ?? [];
    const contents = await Promise.all(
      versions.map(({ version }) => (version === null ? null : this.objects.read(this.name, version))),
    );
    return contents.flatMap((one) => (one === null ? [] : (this.open(one.content) ?? [])));
  }

  private async set(mark: Mark, replaces: string | null): Promise<void> {
    const content = this.seal(mark);
    try {
      this.known = { ...mark, tag: await this.objects.write(this.name, content, replaces) };
    } catch (error) {
      if (!(error instanceof ObjectConflict)) {
        // it may have happened
        this.known = undefined;
        throw error;
      }
      // the answer to the first attempt may have been lost: then it is ours that is there
      const found = await this.objects.read(this.name);
      if (found?.content.equals(content) !== true) throw new StaleWrite('the anchor of the privacy ledger', error);
      this.known = { ...mark, tag: found.tag };
    }
  }

  private seal({ history, position }: Mark): Buffer {
    const said = { history, mark: position && plain(position) };
    return Buffer.from(JSON.stringify({ ...said, code: codeOf(KIND, JSON.stringify(said), this.key) }));
  }

  /** Null: not ours. */
  private open(content: Buffer): Mark | null {
    try {
      const { code, ...said } = body.parse(JSON.parse(content.toString('utf8')));
      const text = JSON.stringify({ history: said.history, mark: said.mark && plain(said.mark) });
      return isCode(code, KIND, text, this.key) ? { history: said.history, position: said.mark } : null;
    } catch {
      return null;
    }
  }

  private alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => {});
    return done;
  }
}

const isAfter = (one: Mark, other: Mark): boolean =>
  one.history > other.history ||
  (one.history === other.history && (one.position?.page ?? 0) > (other.position?.page ?? 0));

const damaged = (what: string): AegisError => new AegisError('PRIVACY_LEDGER_DAMAGED', `The anchor ${what}.`);
