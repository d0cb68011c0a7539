import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import type { ExchangeResponse } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { AegisError } from '@aegis/errors';
import { FakeClock } from '@aegis/testkit';
import { expect } from 'vitest';
import { quorumOf } from '../domain/masking.ts';
import { MemoryRoundStore } from '../store/memory.ts';
import { type Federation, openSum, type Plan, TestNode } from './cohort.ts';
import { STAGE_SECONDS, serviceOn, type stages, type TestService } from './service.ts';

type Stage = keyof typeof stages;

/** What a node does with what it was asked. */
export type Manner = 'answers' | 'twice' | 'lies' | 'poisons' | 'drops';

interface Actor {
  readonly node: TestNode;
  /** Says once, somewhere, what no honest node says. */
  readonly liar: boolean;
  /** What it has to answer next; null: it waits. */
  asked: { stage: Stage; request: Buffer } | null;
  gone: boolean;
  /** The call that waits for what is asked next. */
  waiting: AbortController | null;
}

const next: Readonly<Partial<Record<SecaggStage, Stage>>> = {
  [SecaggStage.SHARE]: 'share',
  [SecaggStage.MASK]: 'mask',
  [SecaggStage.CONFIRM]: 'confirm',
  [SecaggStage.UNMASK]: 'unmask',
};

export interface Chance {
  /** In 0 … below - 1. */
  below(below: number): number;
}

/** One masked round with everybody in it, driven step by step; it watches that nothing comes out that must not. */
export class Play {
  readonly plan: Plan;
  readonly actors: readonly Actor[];
  readonly #federation: Federation;
  readonly #store = new MemoryRoundStore();
  readonly #clock = new FakeClock(Date.now());
  readonly #services: TestService[] = [];
  readonly #vectors = new Map<string, Buffer>();
  /** Shares that nodes opened, by owner: of its seed, of its key. */
  readonly #opened = new Map<string, { seeds: Set<string>; keys: Set<string> }>();
  readonly #chance: Chance;
  #unmasking: Promise<void> | null = null;
  /** How the round ended for the aggregator. */
  outcome: 'opened' | AegisError | null = null;

  constructor(federation: Federation, plan: Plan, actors: readonly Actor[], chance: Chance) {
    this.#federation = federation;
    this.plan = plan;
    this.actors = actors;
    this.#chance = chance;
  }

  static async begin(federation: Federation, plan: Plan, liars: number, chance: Chance): Promise<Play> {
    const actors: Actor[] = [];
    for (let at = 0; at < plan.cohort; at += 1) {
      const identity = await federation.identity(`node-${at}`);
      const node = new TestNode(String(at + 1), at + 1, identity, plan, Date.now());
      const asked = { stage: 'advertise', request: Buffer.alloc(0) } as const;
      actors.push({ node, liar: at < liars, asked, gone: false, waiting: null });
    }
    const play = new Play(federation, plan, actors, chance);
    play.startService();
    play.startService();
    await play.#service.open(plan, play.#nodes);
    return play;
  }

  get #nodes(): TestNode[] {
    return this.actors.map(({ node }) => node);
  }

  /** One of the processes that are up. */
  get #service(): TestService {
    return this.#services[this.#chance.below(this.#services.length)] as TestService;
  }

  startService(): void {
    this.#services.push(serviceOn(this.#store, this.#federation.rootPem, { clock: this.#clock }));
  }

  /** A process is killed and its successor starts: every call that it held is lost. */
  async restart(): Promise<void> {
    const [gone] = this.#services.splice(0, 1);
    gone?.close();
    this.startService();
    for (const actor of this.actors) actor.waiting?.abort();
    await settled();
  }

  /** The time of a stage is over. */
  async tick(): Promise<void> {
    await this.#clock.advance(STAGE_SECONDS * 1000);
    await settled();
  }

  async step(actor: Actor, manner: Manner): Promise<void> {
    if (actor.gone) return;
    if (manner === 'drops') {
      actor.gone = true;
      actor.waiting?.abort();
      return;
    }
    if (actor.asked === null) return this.#waitAgain(actor);
    const { stage, request } = actor.asked;
    let answer = await this.#answerOf(actor.node, stage, request).catch(() => null);
    if (answer === null) {
      // An honest node refuses what a liar made of its round.
      actor.gone = true;
      return;
    }
    if (manner === 'lies' && actor.liar) await this.#lie(actor, stage, answer);
    if (manner === 'poisons' && actor.liar) answer = poisoned(stage, answer);
    if (stage !== 'mask') actor.node.said.set(stage, answer);
    if (stage === 'mask' && !actor.gone) this.#vectors.set(actor.node.id, answer);
    actor.asked = null;
    this.#say(actor, stage, stage === 'mask' ? Buffer.alloc(0) : answer);
    if (manner === 'twice') this.#say(actor, stage, stage === 'mask' ? Buffer.alloc(0) : answer);
    await settled();
  }

  /** What was sent and not heard of any more is said again. */
  async #waitAgain(actor: Actor): Promise<void> {
    const last = actor.node.lastStage as Stage | undefined;
    if (actor.waiting || last === undefined) return;
    this.#say(actor, last, last === 'mask' ? Buffer.alloc(0) : (actor.node.said.get(last) as Buffer));
    await settled();
  }

  async #answerOf(node: TestNode, stage: Stage, request: Buffer): Promise<Buffer> {
    node.lastStage = stage;
    const { openCertificate } = this.#federation;
    if (stage === 'advertise') return node.advert();
    if (stage === 'share') return node.share(request, openCertificate);
    if (stage === 'mask') return node.mask(request);
    if (stage === 'confirm') return node.confirm(request);
    this.#checkUnmask(request);
    const answer = await node.unmask(request);
    this.#noteOpened(node.id, answer);
    return answer;
  }

  #say(actor: Actor, stage: Stage, answer: Buffer): void {
    actor.waiting?.abort();
    const waiting = new AbortController();
    actor.waiting = waiting;
    this.#service
      .say(actor.node, this.plan, stage, answer, waiting.signal)
      .then((response) => this.#heard(actor, response))
      .catch((error: unknown) => {
        if (waiting.signal.aborted) return;
        const { entry, code, detail } = AegisError.from(error);
        if (entry.kind === 'unavailable') return;
        expect(code, `${stage}: ${detail}`).toBe('SECAGG_ROUND_OVER');
        actor.gone = true;
      })
      .finally(() => {
        if (actor.waiting === waiting) actor.waiting = null;
      });
  }

  #heard(actor: Actor, { stage, request, done }: ExchangeResponse): void {
    const asked = next[stage];
    if (done || asked === undefined) actor.gone = true;
    else if (actor.node.lastStage !== asked) actor.asked = { stage: asked, request };
  }

  /** What no honest node says is refused when it comes, and costs the round nothing. */
  async #lie(actor: Actor, stage: Stage, answer: Buffer): Promise<void> {
    const lies = liesOf(stage, answer);
    const other = this.actors.find((one) => one !== actor && one.node.said.has(stage))?.node.said.get(stage);
    if (other) lies.push(other);
    for (const lie of lies) {
      const said = this.#service
        .once(actor.node, this.plan, stage, lie)
        .then(() => 'taken')
        .catch((error: unknown) => AegisError.from(error).code);
      const outcome = await Promise.race([said, settled().then(() => 'held')]);
      expect(['SECAGG_ANSWER', 'SECAGG_ROUND_OVER', 'SECAGG_SECOND_ANSWER'], `${stage}: ${lie}`).toContain(outcome);
    }
  }

  /** The aggregator closes its round with whoever delivered. */
  unmask(): void {
    if (this.#unmasking) return;
    const survivors = [...this.#vectors.keys()];
    const delivered = [...this.#vectors.values()];
    const attempt = async (): Promise<void> => {
      for (;;) {
        try {
          const { confirmed, mask } = await this.#service.unmask(this.plan, survivors);
          const expected = survivors.reduce((sum, id) => sum + Number(id), 0);
          expect(survivors.length).toBeGreaterThanOrEqual(this.plan.terms.minSurvivors);
          expect(confirmed.length).toBeGreaterThanOrEqual(2);
          expect(await openSum(this.plan, delivered, mask)).toBeCloseTo(expected, 1);
          this.outcome = 'opened';
          return;
        } catch (error) {
          const failure = AegisError.from(error);
          if (failure.entry.kind === 'unavailable') continue;
          if (failure.code !== 'SECAGG_TOO_FEW') throw error;
          this.outcome = failure;
          return;
        }
      }
    };
    this.#unmasking = attempt();
    this.#unmasking.catch(() => {});
  }

  /** Whether it is settled who takes part. Throws SECAGG_TOO_FEW. */
  async sharingIsSettled(): Promise<boolean> {
    const { rounds } = this.#service;
    const { state } = await rounds.get({ runId: this.plan.terms.run, round: this.plan.terms.round });
    if (state.stage === 'ended') throw new AegisError(state.code, state.reason);
    return 'participants' in state;
  }

  /** Everybody does what is left to do, and time passes. */
  async finish(): Promise<void> {
    for (let round = 0; round < 40 && this.outcome === null; round += 1) {
      for (const actor of this.actors) {
        for (let times = 0; times < 2; times += 1) await this.step(actor, 'answers');
      }
      try {
        if (await this.sharingIsSettled()) this.unmask();
      } catch (error) {
        this.outcome ??= AegisError.from(error);
      }
      await settled();
      // Time passes when nobody has anything left to say.
      if (!this.actors.some(({ asked, gone }) => asked !== null && !gone)) await this.tick();
      if (this.#unmasking) await Promise.race([this.#unmasking, settled()]);
    }
    await this.#unmasking;
    await this.#service.end(this.plan);
    expect(
      this.#store.sizeOf({ runId: this.plan.terms.run, round: this.plan.terms.round }),
      'facts are forgotten',
    ).toBe(1);
    for (const service of this.#services) service.close();
  }

  /** Nobody is asked to open below quorum and threshold. */
  #checkUnmask(request: Buffer): void {
    const { survivors, dropped, confirmations } = JSON.parse(request.toString());
    const { minSurvivors, threshold } = this.plan.terms;
    expect(survivors.length).toBeGreaterThanOrEqual(minSurvivors);
    const roster = survivors.length + dropped.length;
    expect(confirmations.length).toBeGreaterThanOrEqual(
      Math.min(quorumOf(roster, this.plan.colluders), survivors.length),
    );
    if (this.plan.terms.degree + 1 >= this.plan.cohort) expect(confirmations.length).toBeGreaterThanOrEqual(threshold);
    expect(survivors.some((node: string) => dropped.includes(node))).toBe(false);
  }

  /** Never both secrets of one node. */
  #noteOpened(holder: string, answer: Buffer): void {
    const { seeds, keys } = JSON.parse(answer.toString()) as Record<'seeds' | 'keys', { of: string }[]>;
    for (const [kind, shares] of [
      ['seeds', seeds],
      ['keys', keys],
    ] as const) {
      for (const { of } of shares) {
        const known = this.#opened.get(of) ?? { seeds: new Set(), keys: new Set() };
        known[kind].add(holder);
        this.#opened.set(of, known);
        expect(known.seeds.size === 0 || known.keys.size === 0, `both secrets of ${of}`).toBe(true);
      }
    }
  }
}

const changed = (answer: Buffer, change: (said: Record<string, unknown>) => object): Buffer =>
  Buffer.from(JSON.stringify(change(JSON.parse(answer.toString()))));
const flipped = (digits: unknown): string => `${digits}`.replace(/.$/, (last) => (last === '1' ? '2' : '1'));
const withoutFirst = (list: unknown): unknown[] => (list as unknown[]).slice(1);

/** What the service can see to be wrong. */
const liesOf = (stage: Stage, answer: Buffer): Buffer[] => {
  switch (stage) {
    case 'advertise':
      return [
        changed(answer, ({ advert, ...rest }) => {
          const { maskKey, ...keys } = advert as Record<string, unknown>;
          return { ...rest, advert: { ...keys, maskKey: flipped(maskKey) } };
        }),
      ];
    case 'share':
      return [changed(answer, (said) => ({ ...said, shares: withoutFirst(said.shares) }))];
    case 'confirm':
      return ['survivors', 'model', 'signature'].map((field) =>
        changed(answer, (said) => ({ ...said, [field]: flipped(said[field]) })),
      );
    case 'unmask':
      return [
        changed(answer, (said) => ({ ...said, seeds: withoutFirst(said.seeds) })),
        changed(answer, (said) => ({ ...said, keys: said.seeds })),
      ];
    case 'mask':
      return [Buffer.from('a vector')];
  }
};

/** What nobody can see to be wrong before its time. */
const poisoned = (stage: Stage, answer: Buffer): Buffer => {
  if (stage === 'share') {
    return changed(answer, (said) => ({
      ...said,
      shares: (said.shares as { peer: string; sealed: string }[]).map(({ peer, sealed }) => ({
        peer,
        sealed: flipped(sealed),
      })),
    }));
  }
  if (stage !== 'unmask') return answer;
  return changed(answer, (said) => ({
    ...said,
    seeds: (said.seeds as { of: string; share: string }[]).map(({ of, share }) => ({
      of,
      share: `${share.startsWith('1') ? '2' : '1'}${share.slice(1)}`,
    })),
  }));
};

const settled = async (): Promise<void> => {
  for (let turns = 0; turns < 4; turns += 1) await new Promise(setImmediate);
};
