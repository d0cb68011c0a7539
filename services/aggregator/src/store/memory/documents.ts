import type { ModelVersion } from '../../domain/model.ts';
import type { RoundState } from '../../domain/round.ts';
import type { RunRecord } from '../../domain/run.ts';
import {
  type AppRecord,
  type AppStore,
  type ImportStore,
  type Kept,
  type Lease,
  type LeaseStore,
  type LeaseTerms,
  type PlanRecord,
  type PlanStore,
  type RoundStore,
  type RunStore,
  StaleWrite,
} from '../contract.ts';
import { decodeDocument, encodeDocument } from '../document-text.ts';

/** Values pass through text, so that what does not survive it shows here too. */
export class Table<T> {
  private readonly rows = new Map<string, { text: Buffer; revision: number }>();
  private last = 0;

  get(key: string): Kept<T> | null {
    const row = this.rows.get(key);
    return row === undefined ? null : { value: decodeDocument<T>(row.text), revision: row.revision };
  }

  save(key: string, value: T, revision: number | null): number {
    if ((this.rows.get(key)?.revision ?? null) !== revision) throw new StaleWrite(key);
    return this.put(key, value);
  }

  put(key: string, value: T): number {
    this.last += 1;
    this.rows.set(key, { text: encodeDocument(value), revision: this.last });
    return this.last;
  }

  delete(key: string, revision?: number): void {
    const row = this.rows.get(key);
    if (row !== undefined && revision !== undefined && row.revision !== revision) throw new StaleWrite(key);
    this.rows.delete(key);
  }

  values(): T[] {
    return [...this.rows.keys()].map((key) => (this.get(key) as Kept<T>).value);
  }
}

export class MemoryRuns implements RunStore {
  private readonly table = new Table<RunRecord>();
  get = async (runId: bigint): Promise<Kept<RunRecord> | null> => this.table.get(String(runId));
  save = async (run: RunRecord, revision: number | null): Promise<number> =>
    this.table.save(String(run.runId), run, revision);
  list = async (): Promise<RunRecord[]> => this.table.values();
}

export class MemoryRounds implements RoundStore {
  private readonly table = new Table<RoundState>();
  get = async (runId: bigint): Promise<Kept<RoundState> | null> => this.table.get(String(runId));
  save = async (state: RoundState, revision: number | null): Promise<number> =>
    this.table.save(String(state.runId), state, revision);
  delete = async (runId: bigint): Promise<void> => this.table.delete(String(runId));
}

export class MemoryLeases implements LeaseStore {
  private readonly table = new Table<LeaseTerms>();
  get = async (runId: bigint): Promise<Lease | null> => {
    const kept = this.table.get(String(runId));
    return kept === null ? null : { ...kept.value, revision: kept.revision };
  };
  take = async (terms: LeaseTerms, revision: number | null): Promise<number> =>
    this.table.save(String(terms.runId), terms, revision);
  remove = async (runId: bigint, revision: number): Promise<void> => this.table.delete(String(runId), revision);
  list = async (): Promise<Lease[]> => {
    const leases = await Promise.all(this.table.values().map(({ runId }) => this.get(runId)));
    return leases.filter((lease) => lease !== null);
  };
}

export class MemoryApps implements AppStore {
  private readonly table = new Table<{ app: AppRecord; fab: Uint8Array }>();
  put = async (app: AppRecord, fab: Uint8Array): Promise<void> => void this.table.put(app.hash, { app, fab });
  get = async (hash: string): Promise<AppRecord | null> => this.table.get(hash)?.value.app ?? null;
  fab = async (hash: string): Promise<Buffer | null> => (this.table.get(hash)?.value.fab as Buffer | undefined) ?? null;
}

export class MemoryPlans implements PlanStore {
  private readonly table = new Table<PlanRecord>();
  async put(plan: PlanRecord): Promise<void> {
    if (plan.appHash !== '') this.table.put(plan.appHash, plan);
    this.table.put(plan.appDigest, plan);
  }
  find = async (appHash: string, appDigest: string): Promise<PlanRecord | null> =>
    (this.table.get(appHash) ?? this.table.get(appDigest))?.value ?? null;
}

export class MemoryImports implements ImportStore {
  private readonly table = new Table<ModelVersion>();
  put = async (version: ModelVersion): Promise<void> =>
    void this.table.put(version.name === '' ? `model ${version.modelId}` : `name ${version.name}`, version);
  named = async (name: string): Promise<ModelVersion | null> => this.table.get(`name ${name}`)?.value ?? null;
  list = async (): Promise<ModelVersion[]> => this.table.values();
}
