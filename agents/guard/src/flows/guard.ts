import type { LocalNoise } from '@aegis/core-native';
import type { Clock, Logger, Telemetry } from '@aegis/service-kit';
import type { OpenTasks } from '../domain/open-tasks.ts';
import type { Policy } from '../domain/policy.ts';
import type { Upstream } from '../peers/contract.ts';
import type { Audit, Journal, ModelFiles, PartFiles, RoundSecrets } from '../store/contract.ts';
import type { HeldPull } from './held-pull.ts';
import type { KnownRuns } from './known-runs.ts';
import type { OpenRounds } from './open-rounds.ts';
import type { Signing } from './signing.ts';

/** Everything a flow may touch. */
export interface Guard {
  readonly policy: Policy;
  readonly clock: Clock;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  readonly journal: Journal;
  readonly parts: PartFiles;
  readonly models: ModelFiles;
  readonly audit: Audit;
  readonly upstream: Upstream;
  readonly runs: KnownRuns;
  readonly tasks: OpenTasks;
  readonly held: HeldPull;
  /** null: this guard takes part in no masked round. */
  readonly signing: Signing | null;
  readonly secrets: RoundSecrets;
  readonly rounds: OpenRounds;
  /** Aborted when the guard ends. */
  readonly ending: AbortSignal;
  /** null: the policy wants none. */
  readonly localNoise: LocalNoise | null;
  /** For the person at the terminal: what was decided, in a line. */
  readonly say: (line: string) => void;
}

const DAY_MS = 86_400_000;
export const spentToday = ({ journal, clock }: Guard) => journal.spentSince(clock.now() - DAY_MS);
