import { AegisError } from '@aegis/errors';
import type { FakeClock } from '@aegis/testkit';
import type { AcceptedAnswer } from '../../services/aggregator/src/domain/answer.ts';
import type { ModelInfo } from '../../services/aggregator/src/domain/model.ts';
import { accepted } from '../../services/aggregator/src/domain/verdict.ts';
import type {
  AppStore,
  IntakeRoom,
  IntakeStore,
  ModelStore,
  NoisedRound,
  PrivateFold,
  RoundIntake,
} from '../../services/aggregator/src/store/contract.ts';
import { MemoryApps } from '../../services/aggregator/src/store/memory/documents.ts';
import { MemoryIntakes } from '../../services/aggregator/src/store/memory/intakes.ts';
import { MemoryModels } from '../../services/aggregator/src/store/memory/models.ts';
import type { MemoryTreeNoise } from '../../services/aggregator/src/store/memory/tree-noise.ts';
import type { Chance } from './chance.ts';
import type { Life } from './life.ts';

type LogEntry =
  | { readonly kind: 'part'; readonly part: string; readonly content: Uint8Array }
  | { readonly kind: 'answer'; readonly answer: AcceptedAnswer };

export interface DiskWatch {
  /** An intake put these answers together. */
  onMean(room: IntakeRoom, folded: readonly AcceptedAnswer[], modelId: string): void;
  /** Noise was drawn and sealed. */
  onNoised(room: IntakeRoom, folded: readonly AcceptedAnswer[], modelId: string): void;
}

/**
 * The volume that all aggregators share. What was appended to a log and not yet flushed when its process died may be there or
 * not, from some entry on: a torn tail. Each epoch of a run writes apart: what an owner flushes after a later epoch has opened the
 * room is counted by nobody.
 */
export class SimulatedDisk {
  activity = 0;
  isFull = false;
  slowMs = 0;
  watch: DiskWatch = { onMean: () => {}, onNoised: () => {} };
  /** Tests that break the suite on purpose clear it: an acknowledged record is forgotten with its process. */
  flushes = true;
  /** As before: tensors are taken for good. */
  checks = true;
  /** As before: the first update is added to the sum two times. */
  foldsTwice = false;
  /** As before: noise is drawn again after a crash. */
  seals = true;
  readonly models = new MemoryModels();
  private readonly noised = new Map<string, NoisedRound>();
  private readonly trees = new Map<bigint, MemoryTreeNoise>();
  private readonly apps = new MemoryApps();
  private readonly logs = new Map<string, RoomLog>();
  private readonly clock: FakeClock;
  private readonly chance: Chance;

  constructor(clock: FakeClock, chance: Chance) {
    this.clock = clock;
    this.chance = chance;
  }

  /** Names of the rooms there are. */
  rooms(): string[] {
    return [...this.logs.keys()];
  }

  appsFor(life: Life): AppStore {
    const { apps } = this;
    return {
      put: (app, fab) => this.change(life, () => apps.put(app, fab)),
      get: (hash) => this.look(life, () => apps.get(hash)),
      fab: (hash) => this.look(life, () => apps.fab(hash)),
    };
  }

  modelsFor(life: Life): ModelStore {
    const { models } = this;
    return {
      import: (format, bytes, most) => this.change(life, () => models.import(format, bytes, most)),
      rename: (modelId, names) => this.change(life, () => models.rename(modelId, names)),
      get: (modelId) => this.look(life, () => models.get(modelId)),
      read: (modelId, offset, length) => this.look(life, () => models.read(modelId, offset, length)),
      remove: (modelId) => this.change(life, () => models.remove(modelId), false),
      export: (modelId, format) => models.export(modelId, format),
    };
  }

  intakesFor(life: Life): IntakeStore {
    return {
      open: (room, model, epoch) => this.change(life, () => this.openRoom(life, room, model, epoch)),
      remove: (room, epoch) =>
        this.change(
          life,
          async () => {
            if ((this.logs.get(nameOf(room))?.epoch ?? 0) > epoch) return;
            this.logs.delete(nameOf(room));
            this.noised.delete(nameOf(room));
          },
          false,
        ),
      runs: () => this.look(life, async () => [...new Set([...this.logs.values()].map((log) => log.room.runId))]),
      removeRun: (runId) =>
        this.change(
          life,
          async () => {
            for (const [name, log] of this.logs) if (log.room.runId === runId) this.logs.delete(name);
            this.trees.delete(runId);
            for (const name of this.noised.keys()) if (name.startsWith(`${runId}/`)) this.noised.delete(name);
          },
          false,
        ),
    };
  }

  private async openRoom(life: Life, room: IntakeRoom, model: ModelInfo | null, epoch: number): Promise<RoundIntake> {
    const before = this.logs.get(nameOf(room));
    if (before !== undefined && before.epoch > epoch) throw new AegisError('UNAVAILABLE', 'A later epoch has it.');
    if (before?.epoch === epoch && before.holder !== null && !before.holder.isDead) {
      throw new AegisError('UNAVAILABLE', `The log is open in ${before.holder.name}.`);
    }
    const log = before?.epoch === epoch ? before : new RoomLog(room, epoch, before?.durable() ?? []);
    this.logs.set(nameOf(room), log);
    log.holder = life;
    life.whenDead(() => {
      if (log.holder !== life) return;
      log.holder = null;
      // kernel and disk may have written more than was flushed, in the order of the log
      const kept = this.flushes ? log.flushed + this.chance.below(log.entries.length - log.flushed + 1) : log.inherited;
      log.entries.length = kept;
      log.flushed = kept;
    });
    const inner = await new MemoryIntakes(this.models, this.normal, this.trees).open(room, model, epoch);
    for (const entry of log.entries) {
      if (entry.kind === 'part') await inner.append(entry.part, entry.content);
      else await inner.record(entry.answer);
    }
    return this.loggedIntake(life, log, inner);
  }

  private loggedIntake(life: Life, log: RoomLog, inner: RoundIntake): RoundIntake {
    const folded = new Map<string, AcceptedAnswer>();
    const pending = new Map<string, Promise<void>>();
    const meanOf = async (answers: readonly AcceptedAnswer[], model: ModelInfo): Promise<ModelInfo> => {
      this.watch.onMean(log.room, answers, model.modelId);
      return model;
    };
    return {
      privately: this.privatelyIn(life, log, inner.privately as PrivateFold),
      masked: {
        check: (slices, terms) => this.look(life, () => inner.masked.check(slices, terms)),
        add: (answer, terms) => this.look(life, () => inner.masked.add(answer, terms)),
        open: (mask, survivors, terms) => this.change(life, () => inner.masked.open(mask, survivors, terms)),
      },
      flower: inner.flower,
      has: (part) => inner.has(part),
      append: async (part, content) => {
        const known = pending.get(part);
        if (known !== undefined || inner.has(part)) {
          await known;
          return { deduplicated: true };
        }
        const written = this.append(life, log, { kind: 'part', part, content: Buffer.from(content) }).then(async () => {
          await inner.append(part, content);
        });
        pending.set(part, written);
        await written.finally(() => pending.delete(part));
        return { deduplicated: false };
      },
      read: (part, length) => this.look(life, () => inner.read(part, length)),
      check: (tensors) => (this.checks ? this.look(life, () => inner.check(tensors)) : taken),
      record: async (answer) => {
        await this.append(life, log, { kind: 'answer', answer });
        await inner.record(answer);
      },
      recorded: () => this.look(life, () => inner.recorded()),
      fold: async (answer) => {
        await this.look(life, () => inner.fold(answer));
        if (this.foldsTwice && folded.size === 0) await inner.fold({ ...answer, taskId: `${answer.taskId} again` });
        folded.set(answer.taskId, answer);
      },
      writeMean: () => this.change(life, async () => meanOf([...folded.values()], await inner.writeMean())),
      writeFirst: (answer) => this.change(life, async () => meanOf([answer], await inner.writeFirst(answer))),
      close: async () => {
        if (log.holder === life) log.holder = null;
      },
    };
  }

  private privatelyIn(life: Life, { room }: RoomLog, inner: PrivateFold): PrivateFold {
    const folded = new Map<string, AcceptedAnswer>();
    const name = nameOf(room);
    return {
      add: async (answer, rules) => {
        const added = await this.look(life, () => inner.add(answer, rules));
        folded.set(answer.taskId, answer);
        return added;
      },
      writeNoised: (noise) =>
        this.change(life, async () => {
          const sealed = this.noised.get(name);
          if (sealed !== undefined && this.seals) return sealed;
          // with the room went its folder: what a late owner would seal there has no place any more
          if (this.seals && !this.logs.has(name)) throw new AegisError('UNAVAILABLE', 'The room was removed.');
          const result = await inner.writeNoised(noise);
          this.noised.set(name, result);
          this.watch.onNoised(room, [...folded.values()], result.model.modelId);
          return result;
        }),
      hasNoised: () => this.look(life, async () => this.noised.has(name)),
    };
  }

  /** N(0, 1) by Box and Muller, from the seed. */
  private readonly normal = (): number =>
    Math.sqrt(-2 * Math.log(1 - this.chance.next())) * Math.cos(2 * Math.PI * this.chance.next());

  /** Resolves when the entry is flushed. */
  private async append(life: Life, log: RoomLog, entry: LogEntry): Promise<void> {
    await this.arrive(life);
    this.refuseFull();
    log.entries.push(entry);
    const end = log.entries.length;
    await this.delay();
    await life.gate();
    life.write(() => {
      log.flushed = Math.max(log.flushed, end);
    });
    await life.gate();
  }

  private async change<T>(life: Life, work: () => Promise<T>, takesSpace = true): Promise<T> {
    await this.arrive(life);
    if (takesSpace) this.refuseFull();
    await this.delay();
    await life.gate();
    let done: Promise<T> | undefined;
    life.write(() => {
      done = work();
      done.catch(() => {});
    });
    const result = await (done ?? life.gate());
    await life.gate();
    return result as T;
  }

  private async look<T>(life: Life, work: () => Promise<T>): Promise<T> {
    await this.arrive(life);
    const result = await work();
    await life.gate();
    return result;
  }

  private async arrive(life: Life): Promise<void> {
    this.activity += 1;
    await life.gate();
  }

  private refuseFull(): void {
    if (this.isFull) throw new AegisError('DISK_FULL');
  }

  private delay(): Promise<void> {
    return this.slowMs === 0 ? Promise.resolve() : this.clock.sleep(this.chance.below(this.slowMs + 1));
  }
}

const taken = Promise.resolve({ verdict: accepted, norm: 0 });

/** What one epoch wrote, after what counts of the epochs before it. */
class RoomLog {
  readonly room: IntakeRoom;
  readonly epoch: number;
  readonly entries: LogEntry[];
  readonly inherited: number;
  /** So many of them survive whatever happens. */
  flushed: number;
  holder: Life | null = null;

  constructor(room: IntakeRoom, epoch: number, inherited: readonly LogEntry[]) {
    this.room = room;
    this.epoch = epoch;
    this.entries = [...inherited];
    this.inherited = inherited.length;
    this.flushed = inherited.length;
  }

  durable(): LogEntry[] {
    return this.entries.slice(0, this.flushed);
  }
}

const nameOf = ({ runId, round, kind, attempt }: IntakeRoom): string => `${runId}/${round}-${kind}-${attempt}`;
