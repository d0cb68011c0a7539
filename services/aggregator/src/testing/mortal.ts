// A process that dies at its n-th write to the world, for tests: before that write is heard, or after. From then on nothing it calls returns,
// and nothing it does is seen by anybody.
import { AegisError } from '@aegis/errors';
import type { Ledger, Peers, Secagg } from '../peers/contract.ts';
import type { RoundIntake, Stores } from '../store/contract.ts';

const never = new Promise<never>(() => {});

export class Life {
  writes = 0;
  isDead = false;
  /** Rejects when it dies: for those who wait for its answer. */
  readonly ending: Promise<never>;
  private readonly dieAt: number;
  private readonly when: 'before' | 'after';
  private readonly die: (error: AegisError) => void;

  constructor(dieAt: number, when: 'before' | 'after') {
    this.dieAt = dieAt;
    this.when = when;
    const { promise, reject } = Promise.withResolvers<never>();
    this.ending = promise;
    this.die = reject;
    promise.catch(() => {});
  }

  async write<T>(work: () => Promise<T>): Promise<T> {
    if (this.isDead) return never;
    this.writes += 1;
    if (this.writes !== this.dieAt) return this.outlive(work);
    if (this.when === 'after') await work();
    this.isDead = true;
    this.die(new AegisError('UNAVAILABLE', 'The process died.'));
    return never;
  }

  /** What changes nothing; its answer reaches only who is still alive. */
  async outlive<T>(work: () => Promise<T>): Promise<T> {
    if (this.isDead) return never;
    const result = await work();
    return this.isDead ? never : result;
  }
}

export function mortalStores(stores: Stores, life: Life): Stores {
  const intakeIn = (intake: RoundIntake): RoundIntake => ({
    privately: {
      add: (answer, rules) => life.outlive(() => intake.privately.add(answer, rules)),
      writeNoised: (noise) => life.write(() => intake.privately.writeNoised(noise)),
      hasNoised: () => life.outlive(() => intake.privately.hasNoised()),
    },
    masked: {
      check: (slices, terms) => life.outlive(() => intake.masked.check(slices, terms)),
      add: (answer, terms) => life.outlive(() => intake.masked.add(answer, terms)),
      open: (mask, survivors, terms) => life.write(() => intake.masked.open(mask, survivors, terms)),
    },
    flower: {
      check: (arrays, terms) => life.outlive(() => intake.flower.check(arrays, terms)),
      add: (arrays, terms) => life.outlive(() => intake.flower.add(arrays, terms)),
      open: (removal, terms) => life.write(() => intake.flower.open(removal, terms)),
    },
    has: (part) => intake.has(part),
    append: (part, content) => life.write(() => intake.append(part, content)),
    read: (part, length) => life.outlive(() => intake.read(part, length)),
    check: (tensors) => life.outlive(() => intake.check(tensors)),
    record: (answer) => life.write(() => intake.record(answer)),
    recorded: () => life.outlive(() => intake.recorded()),
    fold: (answer) => life.outlive(() => intake.fold(answer)),
    writeMean: () => life.write(() => intake.writeMean()),
    writeFirst: (answer) => life.write(() => intake.writeFirst(answer)),
    close: () => intake.close(),
  });
  return {
    ...stores,
    runs: {
      get: (runId) => life.outlive(() => stores.runs.get(runId)),
      save: (run, revision) => life.write(() => stores.runs.save(run, revision)),
      list: () => life.outlive(() => stores.runs.list()),
    },
    rounds: {
      get: (runId) => life.outlive(() => stores.rounds.get(runId)),
      save: (state, revision) => life.write(() => stores.rounds.save(state, revision)),
      delete: (runId) => life.write(() => stores.rounds.delete(runId)),
    },
    intakes: {
      open: async (room, model, epoch) => intakeIn(await life.write(() => stores.intakes.open(room, model, epoch))),
      remove: (room, epoch) => life.write(() => stores.intakes.remove(room, epoch)),
      runs: () => life.outlive(() => stores.intakes.runs()),
      removeRun: (runId) => life.write(() => stores.intakes.removeRun(runId)),
    },
  };
}

export function mortalPeers(peers: Peers, life: Life): Peers {
  const { mailbox, secagg } = peers;
  return {
    presence: peers.presence,
    consents: peers.consents,
    feed: {
      ...peers.feed,
      log: (runId, line) => {
        if (!life.isDead) peers.feed.log(runId, line);
      },
    },
    ledger: peers.ledger && mortalLedger(peers.ledger, life),
    mailbox: {
      put: (tasks) => life.write(() => mailbox.put(tasks)),
      withdraw: (tasks) => life.write(() => mailbox.withdraw(tasks)),
      ofRun: (runId) => life.outlive(() => mailbox.ofRun(runId)),
    },
    secagg: secagg && mortalSecagg(secagg, life),
    close: () => peers.close(),
  };
}

const mortalLedger = (ledger: Ledger, life: Life): Ledger => ({
  plan: (asked) => life.outlive(() => ledger.plan(asked)),
  reserve: (request) => life.write(() => ledger.reserve(request)),
  commit: (request) => life.write(() => ledger.commit(request)),
  release: (request) => life.write(() => ledger.release(request)),
});

const mortalSecagg = (secagg: Secagg, life: Life): Secagg => ({
  open: (attempt, signal) => life.write(() => secagg.open(attempt, signal)),
  awaitSharing: (ref, signal) => life.write(() => secagg.awaitSharing(ref, signal)),
  unmask: (ref, survivors, signal) => life.write(() => secagg.unmask(ref, survivors, signal)),
  end: (ref, reason, signal) => life.write(() => secagg.end(ref, reason, signal)),
});
