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
  readonly tree: boolean;
  state: Reservation['state'];
  digest: string | null;
}

type Charge = Pick<ReserveRequest, 'policy' | 'units'> & Pick<Entry, 'rho' | 'tree'>;

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
    const { noise, count, tree } = readEvent(policy.schedule[0] ?? '');
    const noiseMultiplier = noise ?? smallestNoise(policy, count);
    const planned = { policy, units: [], rho: count / (2 * noiseMultiplier ** 2), tree };
    const refusal = this.refusal(planned);
    if (refusal !== null) return { granted: false, refusal };
    return { granted: true, noiseMultiplier, balances: this.balances(policy, planned) };
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
      const { noise, count, tree } = readEvent(request.events[0] ?? '');
      if (noise === null) throw new AegisError('PRIVACY_EVENT_INVALID', 'noise-multiplier is missing.');
      const rho = count / (2 * noise ** 2);
      const refusal = this.refusal({ ...request, rho, tree });
      if (refusal !== null) return { granted: false, refusal };
      const id = `r${this.entries.size + 1}`;
      this.entries.set(request.key, { id, content, request, rho, tree, state: 'reserved', digest: null });
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
    return epsilonOf(this.rho(ofRun(policy)), policy.delta);
  }

  private refusal(asked: Charge): string | null {
    const { policy, units } = asked;
    const scopes: [string, (charge: Charge) => boolean, number][] = [
      [`run ${policy.runId}`, ofRun(policy), policy.epsilon],
      [`data set ${policy.dataset}`, (charge) => charge.policy.dataset === policy.dataset, this.epsilonOfDataset],
      ...units.map((unit): [string, (charge: Charge) => boolean, number] => [
        `unit ${unit}`,
        (charge) => charge === asked || charge.units.includes(unit),
        this.epsilonOfDataset,
      ]),
    ];
    for (const [scope, counts, budget] of scopes) {
      const [before, after] = [this.rho(counts), this.rho(counts, asked)].map((rho) => epsilonOf(rho, policy.delta));
      if (after !== undefined && after > budget * (1 + 1e-9))
        return `${scope}: asked for ${after.toFixed(3)} in all, ${budget} is the budget, ${before?.toFixed(3)} is spent.`;
    }
    return null;
  }

  /** What stands, and `more`. All rounds of a run with a tree are one charge. */
  private rho(counts: (charge: Charge) => boolean, more?: Charge): number {
    const standing = [...this.entries.values()].filter(({ state }) => state !== 'released');
    const charges: Charge[] = standing.map(({ request, rho, tree }) => ({ ...request, rho, tree }));
    if (more !== undefined) charges.push(more);
    const trees = new Set<bigint>();
    let sum = 0;
    for (const charge of charges.filter(counts)) {
      if (charge.tree && trees.has(charge.policy.runId)) continue;
      if (charge.tree) trees.add(charge.policy.runId);
      sum += charge.rho;
    }
    return sum;
  }

  private balances(policy: RunPolicy, more?: Charge): Balance[] {
    const epsilon = epsilonOf(this.rho(ofRun(policy), more), policy.delta);
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

/** `count`: of unsampled Gaussian releases that a unit is in (a tree: of nodes, Kairouz et al. 2103.00039). */
function readEvent(text: string): { noise: number | null; count: number; tree: boolean } {
  const event = JSON.parse(text) as {
    mechanism: string;
    'noise-multiplier'?: number;
    count: number;
    steps?: number[];
    epochs?: number;
  };
  const tree = event.mechanism === 'tree';
  const nodes = Math.ceil(Math.log2(Math.max(...(event.steps ?? [0])) + 1)) * (event.epochs ?? 1);
  return { noise: event['noise-multiplier'] ?? null, count: tree ? nodes : event.count, tree };
}

const ofRun =
  ({ runId }: Pick<RunPolicy, 'runId'>) =>
  (charge: Charge): boolean =>
    charge.policy.runId === runId;

const epsilonOf = (rho: number, delta: number): number =>
  rho === 0 ? 0 : rho + 2 * Math.sqrt(rho * Math.log(1 / delta));

/** ρ + 2 √(ρ L) = ε has √ρ = √(L + ε) − √L. */
function smallestNoise({ epsilon, delta }: RunPolicy, count: number): number {
  const log = Math.log(1 / delta);
  const root = Math.sqrt(log + epsilon) - Math.sqrt(log);
  return Math.sqrt(count / 2) / root;
}
