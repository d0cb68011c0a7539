import { type Bucket, type Bus, BusConflict, keyPart } from '@aegis/bus';
import type { ModelVersion } from '../../domain/model.ts';
import type { RoundState } from '../../domain/round.ts';
import type { RunRecord } from '../../domain/run.ts';
import {
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

/** Documents in one bucket, compared before they are set. */
export class Documents<T> {
  private readonly bucket: Bucket;

  constructor(bucket: Bucket) {
    this.bucket = bucket;
  }

  async get(key: string): Promise<Kept<T> | null> {
    const entry = await this.bucket.get(key);
    return entry === null ? null : { value: decodeDocument<T>(entry.value), revision: entry.revision };
  }

  save(key: string, value: T, revision: number | null): Promise<number> {
    const text = encodeDocument(value);
    return fresh(() => (revision === null ? this.bucket.create(key, text) : this.bucket.update(key, text, revision)));
  }

  put(key: string, value: T): Promise<number> {
    return this.bucket.put(key, encodeDocument(value));
  }

  delete(key: string, revision?: number): Promise<void> {
    return fresh(() => this.bucket.delete(key, revision));
  }

  async values(prefix?: string): Promise<T[]> {
    const values: T[] = [];
    for await (const entry of this.bucket.entries(prefix)) values.push(decodeDocument<T>(entry.value));
    return values;
  }
}

async function fresh<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    throw error instanceof BusConflict ? new StaleWrite(`${error.bucket}/${error.key}`, error) : error;
  }
}

export async function busRuns(bus: Bus): Promise<RunStore> {
  const documents = new Documents<RunRecord>(await bus.bucket('runs'));
  return {
    get: (runId) => documents.get(String(runId)),
    save: (run, revision) => documents.save(String(run.runId), run, revision),
    list: () => documents.values(),
  };
}

export async function busRounds(bus: Bus): Promise<RoundStore> {
  const documents = new Documents<RoundState>(await bus.bucket('rounds'));
  return {
    get: (runId) => documents.get(String(runId)),
    save: (state, revision) => documents.save(String(state.runId), state, revision),
    delete: (runId) => documents.delete(String(runId)),
  };
}

export async function busLeases(bus: Bus): Promise<LeaseStore> {
  const bucket = await bus.bucket('leases');
  const documents = new Documents<LeaseTerms>(bucket);
  return {
    get: async (runId) => {
      const kept = await documents.get(String(runId));
      return kept === null ? null : { ...kept.value, revision: kept.revision };
    },
    take: (terms, revision) => documents.save(String(terms.runId), terms, revision),
    remove: (runId, revision) => documents.delete(String(runId), revision),
    list: async () => {
      const leases: Lease[] = [];
      for await (const { value, revision } of bucket.entries())
        leases.push({ ...decodeDocument<LeaseTerms>(value), revision });
      return leases;
    },
  };
}

export async function busPlans(bus: Bus): Promise<PlanStore> {
  const documents = new Documents<PlanRecord>(await bus.bucket('plans'));
  return {
    put: async (plan) => {
      if (plan.appHash !== '') await documents.put(plan.appHash, plan);
      await documents.put(plan.appDigest, plan);
    },
    find: async (appHash, appDigest) =>
      (await documents.get(appHash))?.value ?? (await documents.get(appDigest))?.value ?? null,
  };
}

/** `name.<name>`, or `model.<hash>` for those without one. */
export async function busImports(bus: Bus): Promise<ImportStore> {
  const documents = new Documents<ModelVersion>(await bus.bucket('models'));
  return {
    put: async (version) => {
      await documents.put(version.name === '' ? `model.${version.modelId}` : `name.${keyPart(version.name)}`, version);
    },
    named: async (name) => (await documents.get(`name.${keyPart(name)}`))?.value ?? null,
    list: () => documents.values(),
  };
}
