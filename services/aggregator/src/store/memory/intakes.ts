import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { systemRandom } from '@aegis/service-kit';
import type { AcceptedAnswer, TensorSource } from '../../domain/answer.ts';
import type { ModelInfo } from '../../domain/model.ts';
import type { TaskKind } from '../../domain/plan.ts';
import { accepted, refuse, type Verdict } from '../../domain/verdict.ts';
import type {
  FlowerFold,
  FoldRules,
  IntakeRoom,
  IntakeStore,
  MaskedFold,
  NoisedRound,
  PrivateFold,
  RoundIntake,
  RoundNoise,
} from '../contract.ts';
import { CoreFlowerFold, type NamedArray } from '../flower-fold.ts';
import { MemoryMaskedFold } from './masked-fold.ts';
import type { MemoryModels } from './models.ts';
import { normalOf } from './normal.ts';
import { type NpyArray, readNpy, writeNpy } from './npy.ts';
import { MemoryTreeNoise } from './tree-noise.ts';

/** What counts under one epoch: a later one begins with a copy, so that what comes late to this one stays here. */
interface Room {
  readonly epoch: number;
  readonly parts: Map<string, Buffer>;
  readonly answers: Map<string, AcceptedAnswer>;
  noised: NoisedRound | null;
}

export class MemoryIntakes implements IntakeStore {
  private readonly models: MemoryModels;
  private readonly normal: () => number;
  private readonly rooms = new Map<string, Room>();
  private readonly trees: Map<bigint, MemoryTreeNoise>;

  /** `normal`: samples of N(0, 1). `trees`: the noise of each run's trees, for whoever has it outlive this. */
  constructor(
    models: MemoryModels,
    normal: () => number = normalOf(systemRandom),
    trees = new Map<bigint, MemoryTreeNoise>(),
  ) {
    this.models = models;
    this.normal = normal;
    this.trees = trees;
  }

  async open(room: IntakeRoom, model: ModelInfo | null, epoch: number): Promise<RoundIntake> {
    const name = nameOf(room);
    const kept = this.rooms.get(name);
    if (kept !== undefined && kept.epoch > epoch) throw new AegisError('UNAVAILABLE', 'The run has another owner.');
    const copy = { parts: new Map(kept?.parts), answers: new Map(kept?.answers), noised: kept?.noised ?? null };
    const ours = kept?.epoch === epoch ? kept : { epoch, ...copy };
    this.rooms.set(name, ours);
    const trees = this.trees.get(room.runId) ?? new MemoryTreeNoise(this.normal);
    this.trees.set(room.runId, trees);
    return new MemoryIntake(ours, this.models, model, room.kind, this.normal, (leaf) => trees.of(leaf, name));
  }

  async remove(room: IntakeRoom, epoch: number): Promise<void> {
    if ((this.rooms.get(nameOf(room))?.epoch ?? 0) <= epoch) this.rooms.delete(nameOf(room));
  }

  async runs(): Promise<bigint[]> {
    return [...new Set([...this.rooms.keys()].map((name) => BigInt(name.split('/')[0] ?? '')))];
  }

  async removeRun(runId: bigint): Promise<void> {
    this.trees.delete(runId);
    for (const name of this.rooms.keys()) if (name.startsWith(`${runId}/`)) this.rooms.delete(name);
  }
}

/** Element by element, for one room. */
type TreeNoise = (leaf: NonNullable<RoundNoise['tree']>) => (element: number) => number;

const nameOf = (room: IntakeRoom): string => `${room.runId}/${room.round}-${room.kind}-${room.attempt}`;

class MemoryIntake implements RoundIntake {
  readonly privately: PrivateFold = {
    add: (answer, rules) => this.addPrivately(answer, rules),
    writeNoised: (noise) => this.writeNoised(noise),
    hasNoised: async () => this.room.noised !== null,
  };
  readonly masked: MaskedFold;
  readonly flower: FlowerFold;
  private readonly room: Room;
  private readonly models: MemoryModels;
  private readonly model: ModelInfo | null;
  private readonly normal: () => number;
  private readonly treeNoise: TreeNoise;
  private readonly folded = new Map<string, { weight: number; arrays: Map<string, NpyArray> }>();

  constructor(
    room: Room,
    models: MemoryModels,
    model: ModelInfo | null,
    kind: TaskKind,
    normal: () => number,
    treeNoise: TreeNoise,
  ) {
    this.masked = new MemoryMaskedFold((slices) => this.join({ slices }), models, model, kind);
    const ground = {
      join: async (slices: TensorSource['slices']) => this.join({ slices }),
      keep: async (arrays: readonly NamedArray[]) => models.keep(arrays),
    };
    this.flower = new CoreFlowerFold(ground, model);
    this.room = room;
    this.models = models;
    this.model = model;
    this.normal = normal;
    this.treeNoise = treeNoise;
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

  private async addPrivately(answer: AcceptedAnswer, { clip, weightMax }: FoldRules): Promise<{ clipped: boolean }> {
    const start = await this.start();
    let squares = 0;
    const arrays = new Map<string, NpyArray>();
    for (const source of answer.tensors) {
      const { values, ...array } = readNpy(this.join(source) ?? Buffer.alloc(0));
      const from = start.get(source.name)?.values ?? [];
      const difference = values.map((value, i) => value - (from[i] ?? 0));
      for (const value of difference) squares += value * value;
      arrays.set(source.name, { ...array, values: difference });
    }
    const norm = Math.sqrt(squares);
    const share = weightMax === null ? 1 : Math.min(answer.weight, weightMax) / weightMax;
    this.folded.set(answer.taskId, { weight: share * Math.min(1, norm === 0 ? 1 : clip / norm), arrays });
    return { clipped: norm > clip };
  }

  private async writeNoised({ update, bit, clip, clipBits, denominator, tree }: RoundNoise): Promise<NoisedRound> {
    if (this.room.noised !== null) return this.room.noised;
    const ofTree = tree === undefined ? null : this.treeNoise(tree);
    let element = 0;
    const noise = () => {
      element += 1;
      return ofTree === null ? this.normal() : ofTree(element - 1);
    };
    const start = await this.start();
    const updates = [...this.folded].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, folded]) => folded);
    const arrays = [...start].map(([name, { values, ...array }]) => {
      const noised = values.map((from, i) => {
        const sum = updates.reduce((all, { weight, arrays: own }) => all + weight * (own.get(name)?.values[i] ?? 0), 0);
        return from + (sum + update * clip * noise()) / denominator;
      });
      return { name, npy: writeNpy({ ...array, values: noised }) };
    });
    const model = await this.models.keep(arrays);
    this.room.noised = { model, clipBits: bit === null ? null : clipBits + Math.round(bit * this.normal()) };
    return this.room.noised;
  }

  async writeFirst(answer: AcceptedAnswer): Promise<ModelInfo> {
    return this.models.keep(
      answer.tensors.map((source) => ({ name: source.name, npy: this.join(source) ?? Buffer.alloc(0) })),
    );
  }

  async close(): Promise<void> {}

  private async start(): Promise<Map<string, NpyArray>> {
    const { modelId, tensors } = this.model as ModelInfo;
    const arrays = new Map<string, NpyArray>();
    for (const { name, offset, length } of tensors)
      arrays.set(name, readNpy(await this.models.read(modelId, offset, length)));
    return arrays;
  }

  private join(source: Pick<TensorSource, 'slices'>): Buffer | null {
    const pieces: Buffer[] = [];
    for (const { part, offset, length } of source.slices) {
      const content = this.room.parts.get(part);
      if (content === undefined || offset + length > content.length) return null;
      pieces.push(content.subarray(offset, offset + length));
    }
    return Buffer.concat(pieces);
  }
}
