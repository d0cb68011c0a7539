import { AegisError } from '@aegis/errors';
import type {
  Balance,
  CommitRequest,
  Ledger,
  LedgerAnswer,
  PlanAnswer,
  Reservation,
  ReserveRequest,
  RunPolicy,
} from '../contract.ts';

interface Entry {
  readonly id: string;
  readonly content: string;
  readonly request: ReserveRequest;
  readonly rho: number;
  state: Reservation['state'];
  digest: string | null;
}

/** What a flow did to the ledger, in order: for tests. */
export interface LedgerDeed {
  readonly did: 'reserve' | 'commit' | 'release';
  readonly id: string;
  readonly key: string;
  readonly digest: string;
  /** Of a commit, where something else happened than was reserved; of a reservation what was asked. */
  readonly events?: readonly string[];
}

/**
 * For tests and simulation: the ledger's rules on a map, with the arithmetic of zero-concentrated privacy (Bun and Steinke 1605.02658:
 * ρ = T / 2z², ε = ρ + 2 √(ρ ln 1/δ)) for run, data set and units alike. Looser than the service, and amplification earns nothing here: it
 * grants and refuses, keeps and forgets nothing, as the service does. Outlives the aggregators that ask it.
 */
export class MemoryLedger implements Ledger {
  readonly deeds: LedgerDeed[] = [];
  readonly epsilonOfDataset: number;
  /** Calls fail while it is set. */
  outage = false;
  /** Called before each answer; tests end the asker here. */
  onCall: (what: string) => Promise<void> = async () => {};
  private readonly entries = new Map<string, Entry>();

  constructor({ epsilonOfDataset = Number.POSITIVE_INFINITY } = {}) {
    this.epsilonOfDataset = epsilonOfDataset;
  }

  async plan({ policy }: { policy: RunPolicy }): Promise<PlanAnswer> {
    await this.called('plan');
    const { noise, count } = readEvent(policy.schedule[0] ?? '');
    const noiseMultiplier = noise ?? smallestNoise(policy, count);
    const rho = count / (2 * noiseMultiplier ** 2);
    const refusal = this.refusal(policy, [], rho);
    if (refusal !== null) return { granted: false, refusal };
    return { granted: true, noiseMultiplier, balances: this.balances(policy, rho) };
  }

  async reserve(request: ReserveRequest): Promise<LedgerAnswer> {
    await this.called('reserve');
    const content = JSON.stringify([request.policy, request.units, request.events], (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    const known = this.entries.get(request.key);
    if (known !== undefined && known.content !== content) throw new AegisError('PRIVACY_KEY_CONFLICT', request.key);
    if (known === undefined) {
      if (request.units.length === 0 || new Set(request.units).size !== request.units.length)
        throw new AegisError('PRIVACY_UNITS', 'Nobody, or somebody twice.');
      const { noise, count } = readEvent(request.events[0] ?? '');
      if (noise === null) throw new AegisError('PRIVACY_EVENT_INVALID', 'noise-multiplier is missing.');
      const rho = count / (2 * noise ** 2);
      const refusal = this.refusal(request.policy, request.units, rho);
      if (refusal !== null) return { granted: false, refusal };
      const id = `r${this.entries.size + 1}`;
      this.entries.set(request.key, { id, content, request, rho, state: 'reserved', digest: null });
      this.deeds.push({ did: 'reserve', id, key: request.key, digest: '', events: request.events });
    }
    return this.answer(this.entries.get(request.key) as Entry);
  }

  async commit({ reservationId, resultDigest, events }: CommitRequest): Promise<LedgerAnswer> {
    await this.called('commit');
    const entry = this.find(reservationId);
    if (entry.state === 'released') throw new AegisError('PRIVACY_RESERVATION_RELEASED', reservationId);
    if (entry.state === 'committed' && entry.digest !== resultDigest)
      throw new AegisError('PRIVACY_RESERVATION_COMMITTED', `${reservationId} is committed for ${entry.digest}.`);
    if (entry.state === 'reserved')
      this.deeds.push({ did: 'commit', id: entry.id, key: entry.request.key, digest: resultDigest, events });
    entry.state = 'committed';
    entry.digest = resultDigest;
    return this.answer(entry);
  }

  async release({ reservationId }: { reservationId: string }): Promise<void> {
    await this.called('release');
    const entry = this.find(reservationId);
    if (entry.state === 'committed') throw new AegisError('PRIVACY_RESERVATION_COMMITTED', reservationId);
    if (entry.state === 'reserved')
      this.deeds.push({ did: 'release', id: entry.id, key: entry.request.key, digest: '' });
    entry.state = 'released';
  }

  /** ε of everything that is reserved or committed for the run. */
  spent(policy: Pick<RunPolicy, 'runId' | 'delta'>): number {
    return epsilonOf(
      this.rho((entry) => entry.request.policy.runId === policy.runId),
      policy.delta,
    );
  }

  private refusal(policy: RunPolicy, units: readonly string[], more: number): string | null {
    const scopes: [string, number, number][] = [
      [`run ${policy.runId}`, this.rho((entry) => entry.request.policy.runId === policy.runId), policy.epsilon],
      [
        `data set ${policy.dataset}`,
        this.rho((entry) => entry.request.policy.dataset === policy.dataset),
        this.epsilonOfDataset,
      ],
      ...units.map((unit): [string, number, number] => [
        `unit ${unit}`,
        this.rho((entry) => entry.request.units.includes(unit)),
        this.epsilonOfDataset,
      ]),
    ];
    for (const [scope, before, budget] of scopes) {
      const after = epsilonOf(before + more, policy.delta);
      if (after > budget * (1 + 1e-9))
        return `${scope}: asked for ${after.toFixed(3)} in all, ${budget} is the budget, ${epsilonOf(before, policy.delta).toFixed(3)} is spent.`;
    }
    return null;
  }

  private rho(counts: (entry: Entry) => boolean): number {
    let sum = 0;
    for (const entry of this.entries.values()) if (entry.state !== 'released' && counts(entry)) sum += entry.rho;
    return sum;
  }

  private balances(policy: RunPolicy, more = 0): Balance[] {
    const rho = this.rho((entry) => entry.request.policy.runId === policy.runId) + more;
    const epsilon = epsilonOf(rho, policy.delta);
    return [
      {
        scope: 'run',
        epsilonBudget: policy.epsilon,
        delta: policy.delta,
        epsilon,
        used: Math.min(epsilon / policy.epsilon, 1),
      },
    ];
  }

  private answer({ id, state, request }: Entry): LedgerAnswer {
    return { granted: true, reservation: { reservationId: id, state, balances: this.balances(request.policy) } };
  }

  private find(id: string): Entry {
    for (const entry of this.entries.values()) if (entry.id === id) return entry;
    throw new AegisError('PRIVACY_RESERVATION_NOT_FOUND', id);
  }

  private async called(what: string): Promise<void> {
    await this.onCall(what);
    if (this.outage) throw new AegisError('STORE_UNAVAILABLE', 'The ledger is away.');
  }
}

function readEvent(text: string): { noise: number | null; count: number } {
  const event = JSON.parse(text) as { 'noise-multiplier'?: number; count: number };
  return { noise: event['noise-multiplier'] ?? null, count: event.count };
}

const epsilonOf = (rho: number, delta: number): number =>
  rho === 0 ? 0 : rho + 2 * Math.sqrt(rho * Math.log(1 / delta));

/** ρ + 2 √(ρ L) = ε has √ρ = √(L + ε) − √L. */
function smallestNoise({ epsilon, delta }: RunPolicy, count: number): number {
  const log = Math.log(1 / delta);
  const root = Math.sqrt(log + epsilon) - Math.sqrt(log);
  return Math.sqrt(count / 2) / root;
}
