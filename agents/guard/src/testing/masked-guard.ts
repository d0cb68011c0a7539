import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DataKey, KeyFile, LocalNoise, ModelFile } from '@aegis/core-native';
import { planDigest } from '@aegis/core-native/secagg';
import { type Clock, noTelemetry, silentLogger } from '@aegis/service-kit';
import { FakeClock, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import type { Masking } from '../domain/masking.ts';
import { OpenTasks } from '../domain/open-tasks.ts';
import type { Policy } from '../domain/policy.ts';
import type { ConfigEntry, Task } from '../domain/task.ts';
import type { Guard } from '../flows/guard.ts';
import { HeldPull } from '../flows/held-pull.ts';
import { KnownRuns } from '../flows/known-runs.ts';
import { gridOptions } from '../flows/masked-grid.ts';
import { OpenRounds } from '../flows/open-rounds.ts';
import type { Signing } from '../flows/signing.ts';
import { takeAnswer } from '../flows/take-answer.ts';
import type { Upstream } from '../peers/contract.ts';
import { AuditFile } from '../store/audit-file.ts';
import { FolderModelFiles, FolderPartFiles } from '../store/files.ts';
import { SealedRounds } from '../store/sealed-rounds.ts';
import { SqliteJournal } from '../store/sqlite-journal.ts';
import { APP_HASH } from './masked-server.ts';
import { npyOf } from './npy.ts';

const openPolicy: Policy = {
  ...{ apps: ['*'], appHashes: null, runs: null, kinds: ['train', 'evaluate'], requireSignedApp: false, consent: [] },
  ...{
    requireMasking: true,
    localNoise: null,
    floors: { cohort: 4, survivors: 4, colluders: 0 },
    leastNoise: 0,
    noiseBudget: null,
    tensors: [{ name: '*', min: -Number.MAX_VALUE, max: Number.MAX_VALUE }],
  },
  metrics: [{ name: 'loss', min: 0, max: 10 }],
  ...{ weight: { min: 0, max: 1_000 }, errorDetails: false, updateBytes: 1e6, perDay: { answers: 99, bytes: 1e9 } },
};

/** A guard with real stores in a folder, that may end at any moment and begin again on it. */
export class MaskedGuard {
  readonly #folder: TemporaryFolder;
  #ending = new AbortController();
  #close: () => void = () => {};
  guard!: Guard;

  private constructor(folder: TemporaryFolder) {
    this.#folder = folder;
  }

  static async open(upstream: Upstream, signing: Signing | null, policy: Partial<Policy> = {}): Promise<MaskedGuard> {
    const opened = new MaskedGuard(await temporaryFolder('masked'));
    await opened.begin(upstream, signing, policy);
    return opened;
  }

  get state(): string {
    return this.#folder.path;
  }

  async begin(upstream: Upstream, signing: Signing | null, changes: Partial<Policy> = {}): Promise<void> {
    const clock: Clock = new FakeClock(Date.now());
    const state = this.#folder.path;
    const journal = SqliteJournal.open(state, clock.now());
    const audit = new AuditFile(join(state, 'audit.jsonl'), () => clock.now());
    this.#ending = new AbortController();
    this.guard = {
      ...{ policy: { ...openPolicy, ...changes }, clock, log: silentLogger, journal, audit, upstream, signing },
      parts: new FolderPartFiles(join(state, 'answers')),
      telemetry: noTelemetry,
      models: new FolderModelFiles(join(state, 'models')),
      secrets: await SealedRounds.open(state),
      runs: new KnownRuns(journal, upstream, () => [], changes.requireSignedApp ?? false),
      ...{ tasks: new OpenTasks(), held: new HeldPull(clock), rounds: new OpenRounds() },
      localNoise: noiseOf(changes.localNoise ?? null),
      ...{ ending: this.#ending.signal, say: () => {} },
    };
    this.#close = () => {
      journal.close();
      audit.close();
    };
  }

  /** Nothing is said or tidied up any more. */
  stop(): void {
    this.#ending.abort(new Error('the guard ends'));
  }

  /** As a process that ends. */
  end(): void {
    this.stop();
    this.#close();
    this.#close = () => {};
  }

  async remove(): Promise<void> {
    this.end();
    await this.#folder.remove();
  }

  /** The SuperNode's answer, as its pushes leave it. */
  async answer(task: Task, tensors: Record<string, number[]>, metrics: ConfigEntry[], weight = 1): Promise<boolean> {
    try {
      return await this.#answer(task, tensors, metrics, weight);
    } catch (error) {
      // Its folder went with the round.
      if (this.guard.tasks.find(task.taskId) === null) return false;
      throw error;
    }
  }

  async #answer(
    task: Task,
    tensors: Record<string, number[]>,
    metrics: ConfigEntry[],
    weight: number,
  ): Promise<boolean> {
    const given = [];
    for (const [name, values] of Object.entries(tensors)) {
      const npy = npyOf(values);
      await this.guard.parts.write(task.taskId, `object-${name}`, npy);
      given.push({ name, slices: [{ file: `object-${name}`, offset: 0, length: npy.byteLength }] });
    }
    return takeAnswer(this.guard, task, { tensors: given, metrics, weight });
  }

  async audit(): Promise<Record<string, unknown>[]> {
    const text = await readFile(join(this.state, 'audit.jsonl'), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }
}

const noiseOf = (rule: Policy['localNoise']): LocalNoise | null =>
  rule !== null && 'sigma' in rule ? LocalNoise.ofSigma(rule.clip, rule.sigma) : null;

/** A model as the core names it, and as it travels. */
export const realModel = async (tensors: Record<string, number[]>) => {
  await using folder = await temporaryFolder('model');
  const { key }: { key: DataKey } = KeyFile.open(join(folder.path, 'key'), { create: true }).generate('test');
  const list = Object.entries(tensors).map(([name, values]) => ({ name, npy: npyOf(values) }));
  const info = await ModelFile.fromTensors(list, join(folder.path, 'model'), key);
  return { info, tensors: list, bytes: Buffer.concat(list.map(({ npy }) => npy)) };
};

type Model = Awaited<ReturnType<typeof realModel>>;

/** A task of a masked run, with terms that fit its model. */
export const maskedTask = (
  { info }: Model,
  changes: Partial<Task> = {},
  terms: Partial<Masking> = {},
  run: { readonly appHash: string; readonly overrides: readonly ConfigEntry[] } = { appHash: APP_HASH, overrides: [] },
): Task => {
  const task: Task = {
    ...{ taskId: '01TASK', runId: 7n, round: 1, kind: 'train', config: [], createdAt: Date.now() / 1000, ttl: 600 },
    layout: { dialect: 'message', arrayRecordKey: 'arrays', configRecordKey: 'config', weightedByKey: 'num-examples' },
    model: { modelId: info.sha256, bytes: info.bytes, tensors: info.tensors },
    ...{ groupId: '', masking: null },
    ...changes,
  };
  const grid = {
    ...{ clip: 4, ownClips: {}, metrics: [{ name: 'loss', low: 0, high: 10 }], valueBits: 20 },
    ...{ weightMax: 1, maxExamples: 1_000, normClip: null, noiseSigma: null },
  };
  const elements = task.kind === 'train' ? info.tensors.reduce((sum, { shape }) => sum + (shape[0] ?? 1), 0) : 0;
  const masking: Masking = {
    ...{ cohort: 5, plan: '01'.repeat(32), round: 129n, degree: 4, threshold: 3, minSurvivors: 4 },
    ...{ bits: 23, length: 5 + grid.metrics.length + elements, grid },
    ...terms,
  };
  const { runId, kind, layout, config } = task;
  const { round, cohort, grid: its } = masking;
  const asked = { run: runId, kind, round, cohort, grid: gridOptions(masking), maxExamples: its.maxExamples ?? 0 };
  const plan = planDigest({ ...asked, layout, config, ...run });
  return { ...task, masking: { ...masking, plan } };
};
