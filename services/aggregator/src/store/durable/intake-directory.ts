import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { dataKeyAt, type KeyWrapper } from '@aegis/cloud';
import { CoreError, Fold, IntakeLog, ModelFile, readNpyHeader, type TensorSpec } from '@aegis/core-native';
import type { AcceptedAnswer, PartSlice, TensorSource } from '../../domain/answer.ts';
import type { ModelInfo } from '../../domain/model.ts';
import type { TaskKind } from '../../domain/plan.ts';
import { accepted, refuse, type Verdict } from '../../domain/verdict.ts';
import type { IntakeRoom, IntakeStore, RoundIntake } from '../contract.ts';
import { decodeDocument, encodeDocument } from '../document-text.ts';
import { CoreFlowerFold } from '../flower-fold.ts';
import { inCore, refusalOf } from './core-errors.ts';
import { LoggedMaskedFold } from './masked-fold.ts';
import type { ModelDirectory } from './model-directory.ts';
import { coreSources, LoggedPrivateFold } from './private-fold.ts';

const PART = 'part';
const UPDATE = 'update';
/** In the room, beside its epochs: whoever owns the run, there is one. */
const NOISED = 'noised.model';
/** Beside the run's rooms: its noise outlives them. */
const TREE_SECRET = 'tree-noise';

/**
 * Parts and accepted answers in sealed, fsynced logs: `<run>/<round>-<kind>[-<attempt>]/epoch-<n>/`. One key per run, in `<run>/key`; with the
 * run's folder goes the last trace of what its nodes sent.
 */
export class IntakeDirectory implements IntakeStore {
  private readonly folder: string;
  private readonly keys: KeyWrapper;
  private readonly models: ModelDirectory;

  constructor(folder: string, keys: KeyWrapper, models: ModelDirectory) {
    this.folder = folder;
    this.keys = keys;
    this.models = models;
  }

  async open(room: IntakeRoom, model: ModelInfo | null, epoch: number): Promise<RoundIntake> {
    const run = join(this.folder, String(room.runId));
    const log = await inCore(async () => {
      await mkdir(run, { recursive: true, mode: 0o700 });
      const key = await dataKeyAt(join(run, 'key'), `intake/${room.runId}`, this.keys);
      return IntakeLog.open(this.path(room), key, { epoch });
    });
    const paths = { noised: join(this.path(room), NOISED), treeSecret: join(run, TREE_SECRET) };
    return new LoggedIntake(log, this.models, model, room.kind, paths);
  }

  async remove(room: IntakeRoom, epoch: number): Promise<void> {
    const path = this.path(room);
    const names = await readdir(path).catch(() => []);
    // a later epoch stands on the logs of the earlier ones
    if (names.some((name) => Number(/^epoch-(\d+)$/.exec(name)?.[1] ?? 0) > epoch)) return;
    await rm(path, { recursive: true, force: true });
  }

  async runs(): Promise<bigint[]> {
    const names = await readdir(this.folder).catch(() => []);
    return names.filter((name) => /^\d+$/.test(name)).map(BigInt);
  }

  removeRun(runId: bigint): Promise<void> {
    return rm(join(this.folder, String(runId)), { recursive: true, force: true });
  }

  private path({ runId, round, kind, attempt }: IntakeRoom): string {
    return join(this.folder, String(runId), `${round}-${kind}${attempt > 1 ? `-${attempt}` : ''}`);
  }
}

class LoggedIntake implements RoundIntake {
  readonly privately: LoggedPrivateFold;
  readonly masked: LoggedMaskedFold;
  readonly flower: CoreFlowerFold;
  private readonly log: IntakeLog;
  private readonly models: ModelDirectory;
  private readonly specs: TensorSpec[] | null;
  private sum: Fold;
  private folded: AcceptedAnswer[] = [];

  /** Where the room's release is sealed, and the secret of the run's tree noise. */
  constructor(
    log: IntakeLog,
    models: ModelDirectory,
    model: ModelInfo | null,
    kind: TaskKind,
    paths: { noised: string; treeSecret: string },
  ) {
    this.masked = new LoggedMaskedFold(log, models, model, kind);
    this.flower = new CoreFlowerFold(
      {
        join: (slices) => this.join(slices),
        keep: (arrays) => models.keep((path, key) => ModelFile.fromTensors([...arrays], path, key)),
      },
      model,
    );
    this.privately = new LoggedPrivateFold(log, models, model?.modelId ?? '', paths);
    this.log = log;
    this.models = models;
    this.specs = model?.tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] })) ?? null;
    this.sum = Fold.create(this.specs ?? []);
  }

  has(part: string): boolean {
    return this.log.has(part);
  }

  append(part: string, content: Uint8Array): Promise<{ deduplicated: boolean }> {
    return inCore(() => this.log.append(PART, part, [content], part));
  }

  async read(part: string, length?: number): Promise<Buffer | null> {
    return this.log.has(part) ? inCore(() => this.log.read(part, 0, length)) : null;
  }

  async check(tensors: readonly TensorSource[]): Promise<{ verdict: Verdict; norm: number }> {
    try {
      // Sums take no memory before something is added.
      const { norm } = await this.checkIn(await this.sumFor(tensors), tensors);
      return { verdict: accepted, norm };
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal !== null) return { verdict: refuse(refusal.code, refusal.detail), norm: 0 };
      return inCore(() => Promise.reject(error));
    }
  }

  async record(answer: AcceptedAnswer): Promise<void> {
    await inCore(() => this.log.append(UPDATE, answer.taskId, [encodeDocument(answer)]));
  }

  async recorded(): Promise<AcceptedAnswer[]> {
    const answers: AcceptedAnswer[] = [];
    for (const entry of this.log.entries(UPDATE))
      answers.push(decodeDocument(await inCore(() => this.log.read(entry.id))));
    return answers;
  }

  async fold(answer: AcceptedAnswer): Promise<void> {
    try {
      await inCore(() => this.sum.add(this.log, coreSources(answer.tensors), answer.weight));
      this.folded.push(answer);
    } catch (error) {
      await this.foldAnew();
      throw error;
    }
  }

  writeMean(): Promise<ModelInfo> {
    return this.models.keep((path, key) => this.sum.writeModel(path, key));
  }

  writeFirst(answer: AcceptedAnswer): Promise<ModelInfo> {
    return this.models.keep((path, key) => ModelFile.fromLog(this.log, coreSources(answer.tensors), path, key));
  }

  async close(): Promise<void> {
    this.sum.close();
    await this.privately.close();
    this.masked.close();
    this.flower.close();
    await inCore(() => this.log.close());
  }

  private async join(slices: readonly PartSlice[]): Promise<Buffer | null> {
    if (slices.some(({ part }) => !this.log.has(part))) return null;
    const pieces = await inCore(() =>
      Promise.all(slices.map(({ part, offset, length }) => this.log.read(part, offset, length))),
    );
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  /** Without a model there is nothing to compare with: the arrays are checked against what they say they are. */
  private async sumFor(tensors: readonly TensorSource[]): Promise<Fold> {
    return this.specs === null ? Fold.create(await this.readSpecs(tensors)) : this.sum;
  }

  private async checkIn(sum: Fold, tensors: readonly TensorSource[]): Promise<{ norm: number }> {
    try {
      return await sum.check(this.log, coreSources(tensors));
    } finally {
      if (sum !== this.sum) sum.close();
    }
  }

  /** A disk that failed in the middle of an update spoils the sum; the log still has everything that went into it. */
  private async foldAnew(): Promise<void> {
    this.sum.close();
    this.sum = Fold.create(this.specs ?? []);
    for (const answer of this.folded)
      await inCore(() => this.sum.add(this.log, coreSources(answer.tensors), answer.weight));
  }

  /** What the arrays of a first model say they are. Their sums take no memory before something is added. */
  private readSpecs(tensors: readonly TensorSource[]): Promise<TensorSpec[]> {
    return Promise.all(
      tensors.map(async ({ name, slices }) => {
        const pieces: Buffer[] = [];
        let left = HEADER_BYTES;
        for (const { part, offset, length } of slices) {
          if (left <= 0) break;
          if (!this.log.has(part)) throw new CoreError('PART_UNKNOWN', 'the part was never sent', { part });
          const piece = await this.log.read(part, offset, Math.min(length, left));
          pieces.push(piece);
          left -= piece.length;
        }
        const { dtype, shape } = readNpyHeader(Buffer.concat(pieces));
        return { name, dtype, shape };
      }),
    );
  }
}

/** More than any header of a plain array. */
const HEADER_BYTES = 4096;
