import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import type { AcceptedAnswer, TensorSource } from '../../domain/answer.ts';
import type { ModelInfo } from '../../domain/model.ts';
import { accepted, refuse, type Verdict } from '../../domain/verdict.ts';
import type { IntakeRoom, IntakeStore, RoundIntake } from '../contract.ts';
import type { MemoryModels } from './models.ts';
import { type NpyArray, readNpy, writeNpy } from './npy.ts';

/** What counts under one epoch: a later one begins with a copy, so that what comes late to this one stays here. */
interface Room {
  readonly epoch: number;
  readonly parts: Map<string, Buffer>;
  readonly answers: Map<string, AcceptedAnswer>;
}

export class MemoryIntakes implements IntakeStore {
  private readonly models: MemoryModels;
  private readonly rooms = new Map<string, Room>();

  constructor(models: MemoryModels) {
    this.models = models;
  }

  async open(room: IntakeRoom, model: ModelInfo | null, epoch: number): Promise<RoundIntake> {
    const name = nameOf(room);
    const kept = this.rooms.get(name);
    if (kept !== undefined && kept.epoch > epoch) throw new AegisError('UNAVAILABLE', 'The run has another owner.');
    const ours = kept?.epoch === epoch ? kept : { epoch, parts: new Map(kept?.parts), answers: new Map(kept?.answers) };
    this.rooms.set(name, ours);
    return new MemoryIntake(ours, this.models, model);
  }

  async remove(room: IntakeRoom, epoch: number): Promise<void> {
    if ((this.rooms.get(nameOf(room))?.epoch ?? 0) <= epoch) this.rooms.delete(nameOf(room));
  }

  async runs(): Promise<bigint[]> {
    return [...new Set([...this.rooms.keys()].map((name) => BigInt(name.split('/')[0] ?? '')))];
  }

  async removeRun(runId: bigint): Promise<void> {
    for (const name of this.rooms.keys()) if (name.startsWith(`${runId}/`)) this.rooms.delete(name);
  }
}

const nameOf = (room: IntakeRoom): string => `${room.runId}/${room.round}-${room.kind}-${room.attempt}`;

class MemoryIntake implements RoundIntake {
  private readonly room: Room;
  private readonly models: MemoryModels;
  private readonly model: ModelInfo | null;
  private readonly folded = new Map<string, { weight: number; arrays: Map<string, NpyArray> }>();

  constructor(room: Room, models: MemoryModels, model: ModelInfo | null) {
    this.room = room;
    this.models = models;
    this.model = model;
  }

  has(part: string): boolean {
    return this.room.parts.has(part);
  }

  async append(part: string, content: Uint8Array): Promise<{ deduplicated: boolean }> {
    if (this.has(part)) return { deduplicated: true };
    if (createHash('sha256').update(content).digest('hex') !== part) throw new AegisError('PART_HASH', part);
    this.room.parts.set(part, Buffer.from(content));
    return { deduplicated: false };
  }

  async read(part: string, length?: number): Promise<Buffer | null> {
    return this.room.parts.get(part)?.subarray(0, length) ?? null;
  }

  async check(tensors: readonly TensorSource[]): Promise<{ verdict: Verdict; norm: number }> {
    let squares = 0;
    for (const source of tensors) {
      const npy = this.join(source);
      if (npy === null)
        return { verdict: refuse('PART_NOT_FOUND', `A part of ${source.name} was never sent.`), norm: 0 };
      let array: NpyArray;
      try {
        array = readNpy(npy);
      } catch (error) {
        return { verdict: refuse('UPDATE_TENSOR_MALFORMED', `${source.name}: ${(error as Error).message}`), norm: 0 };
      }
      const expected = this.model?.tensors.find((tensor) => tensor.name === source.name);
      if (expected !== undefined && (expected.dtype !== array.descr || expected.shape.join() !== array.shape.join())) {
        const detail = `${source.name} is ${array.descr} (${array.shape}), the model's is ${expected.dtype} (${expected.shape}).`;
        return { verdict: refuse('UPDATE_TENSORS', detail), norm: 0 };
      }
      for (const value of array.values) {
        if (!Number.isFinite(value)) return { verdict: refuse('UPDATE_NOT_FINITE', `In ${source.name}.`), norm: 0 };
        squares += value * value;
      }
    }
    return { verdict: accepted, norm: Math.sqrt(squares) };
  }

  async record(answer: AcceptedAnswer): Promise<void> {
    this.room.answers.set(answer.taskId, answer);
  }

  async recorded(): Promise<AcceptedAnswer[]> {
    return [...this.room.answers.values()];
  }

  async fold(answer: AcceptedAnswer): Promise<void> {
    const arrays = new Map(
      answer.tensors.map((source) => [source.name, readNpy(this.join(source) ?? Buffer.alloc(0))]),
    );
    this.folded.set(answer.taskId, { weight: answer.weight, arrays });
  }

  async writeMean(): Promise<ModelInfo> {
    // by task, not by arrival: floating-point sums depend on their order
    const updates = [...this.folded].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, update]) => update);
    const total = updates.reduce((sum, update) => sum + update.weight, 0);
    const arrays = (this.model?.tensors ?? []).map(({ name, dtype, shape }) => {
      const length = shape.reduce((product, dim) => product * dim, 1);
      const values = Array.from(
        { length },
        (_, i) =>
          updates.reduce((sum, { weight, arrays: own }) => sum + weight * (own.get(name)?.values[i] ?? 0), 0) / total,
      );
      return { name, npy: writeNpy({ descr: dtype, shape, values }) };
    });
    return this.models.keep(arrays);
  }

  async writeFirst(answer: AcceptedAnswer): Promise<ModelInfo> {
    return this.models.keep(
      answer.tensors.map((source) => ({ name: source.name, npy: this.join(source) ?? Buffer.alloc(0) })),
    );
  }

  async close(): Promise<void> {}

  private join(source: TensorSource): Buffer | null {
    const pieces: Buffer[] = [];
    for (const { part, offset, length } of source.slices) {
      const content = this.room.parts.get(part);
      if (content === undefined || offset + length > content.length) return null;
      pieces.push(content.subarray(offset, offset + length));
    }
    return Buffer.concat(pieces);
  }
}
