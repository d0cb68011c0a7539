import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AegisError } from '@aegis/errors';
import type { Secret } from '@aegis/service-kit';
import { z } from 'zod';
import { codeOf, codeShape, isCode, markShape, plain } from '../anchor-mark.ts';
import type { Anchor, Position } from '../contract.ts';

const SLOT = 512;
const SLOTS = 2;

const KIND = 'aegis privacy ledger anchor';
const mark = z.strictObject({ ...markShape, code: codeShape });

/**
 * The anchor in a file of two slots that are written in turn, in place: one sync of 512 bytes for each page of the history, and a torn write
 * leaves the other slot as it was. It must not lie where the history lies; a backup of the one must not bring back the other.
 */
export class FileAnchor implements Anchor {
  private readonly path: string;
  private readonly key: Secret;
  private file: FileHandle | null = null;

  constructor(path: string, key: Secret) {
    this.path = path;
    this.key = key;
  }

  async read(): Promise<Position | null> {
    const file = await open(this.path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (file === null) return null;
    try {
      const content = Buffer.alloc(SLOT * SLOTS);
      await file.read(content, 0, content.length, 0);
      return this.newest(content);
    } finally {
      await file.close();
    }
  }

  async write(position: Position): Promise<void> {
    this.file ??= await this.openForWriting();
    const slot = Buffer.alloc(SLOT, ' ');
    slot.write(JSON.stringify({ ...plain(position), code: codeOf(KIND, textOf(position), this.key) }));
    await this.file.write(slot, 0, SLOT, (position.page % SLOTS) * SLOT);
    await this.file.datasync();
  }

  async replace(position: Position | null): Promise<void> {
    this.file ??= await this.openForWriting();
    await this.file.write(Buffer.alloc(SLOT * SLOTS), 0, SLOT * SLOTS, 0);
    await this.file.datasync();
    if (position !== null) await this.write(position);
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.file = null;
  }

  private newest(content: Buffer): Position | null {
    const written = [content.subarray(0, SLOT), content.subarray(SLOT)].filter((slot) =>
      slot.some((byte) => byte !== 0),
    );
    const genuine = written.map((slot) => this.readSlot(slot)).filter((position) => position !== null);
    const [first, second = first] = genuine;
    if (first === undefined || second === undefined) {
      if (written.length === 0) return null;
      throw new AegisError('PRIVACY_LEDGER_DAMAGED', 'The anchor was changed, or was written with another key.');
    }
    return second.page > first.page ? second : first;
  }

  /** null: torn, or not ours. */
  private readSlot(slot: Buffer): Position | null {
    try {
      const { code, ...position } = mark.parse(JSON.parse(slot.toString('utf8')));
      return isCode(code, KIND, textOf(position), this.key) ? position : null;
    } catch {
      return null;
    }
  }

  /** The size is fixed before the first mark, so that later ones change nothing but bytes. */
  private async openForWriting(): Promise<FileHandle> {
    const file = await open(this.path, constants.O_RDWR | constants.O_CREAT, 0o600);
    if ((await file.stat()).size >= SLOT * SLOTS) return file;
    await file.truncate(SLOT * SLOTS);
    await file.sync();
    const folder = await open(dirname(this.path), 'r');
    await folder.sync().finally(() => folder.close());
    return file;
  }
}

const textOf = (position: Position): string => JSON.stringify(plain(position));
