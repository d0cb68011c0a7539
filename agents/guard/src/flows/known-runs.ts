import { sha256Hex } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { App, RunFacts } from '../domain/task.ts';
import type { Upstream } from '../peers/contract.ts';
import type { Journal } from '../store/contract.ts';

/** Whose signature of an app holds: the ids of trusted entities. */
export type SignersOf = (app: App) => string[];

/** Apps of a few runs at once; a bundle has 10 MiB at most. */
const APPS = 4;

/** Runs and their apps, as the server described them first: what it says later of the same run must be the same. */
export class KnownRuns {
  readonly #journal: Journal;
  readonly #upstream: Upstream;
  readonly #signersOf: SignersOf;
  /** A bundle that nobody signed may be signed later. */
  readonly #mustBeSigned: boolean;
  readonly #apps = new Map<bigint, Promise<{ app: App; signedBy: string[] }>>();

  constructor(journal: Journal, upstream: Upstream, signersOf: SignersOf, mustBeSigned: boolean) {
    this.#journal = journal;
    this.#upstream = upstream;
    this.#signersOf = signersOf;
    this.#mustBeSigned = mustBeSigned;
  }

  async facts(runId: bigint): Promise<RunFacts> {
    const known = this.#journal.run(runId);
    if (known) return known;
    const described = await this.#upstream.run(runId);
    if (described.runId !== runId)
      throw new AegisError('GUARD_RUN_CHANGED', `Asked for ${runId}, told of ${described.runId}.`);
    this.#journal.rememberRun(described);
    return described;
  }

  /** The bundle itself, byte for byte what the run's hash names, and who signed it. */
  async app(runId: bigint): Promise<{ app: App; signedBy: string[] }> {
    const known = this.#apps.get(runId);
    if (known) return known;
    const asked = this.#fetch(runId).catch((error: unknown) => {
      this.#apps.delete(runId);
      throw error;
    });
    this.#apps.set(runId, asked);
    for (const oldest of this.#apps.keys()) {
      if (this.#apps.size <= APPS) break;
      this.#apps.delete(oldest);
    }
    return asked;
  }

  async #fetch(runId: bigint): Promise<{ app: App; signedBy: string[] }> {
    const { appHash } = await this.facts(runId);
    const app = await this.#upstream.app(runId);
    if (app.appHash !== appHash || (await sha256Hex([app.fab])) !== appHash) {
      throw new AegisError('GUARD_RUN_CHANGED', `The app of run ${runId} is not the one of its hash.`);
    }
    const signedBy = this.#signersOf(app);
    if (this.#mustBeSigned && signedBy.length === 0) this.#apps.delete(runId);
    return { app, signedBy };
  }
}
