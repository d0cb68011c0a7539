import { AegisError } from '@aegis/errors';
import type { AcceptedAnswer, FlowerSaid } from '../domain/answer.ts';
import type { Removal } from '../domain/flower-secagg/removal.ts';
import type { FlowerTerms } from '../domain/flower-secagg/terms.ts';
import { weightedMeans } from '../domain/metrics.ts';
import type { ModelInfo } from '../domain/model.ts';
import type { Plan } from '../domain/plan.ts';
import { clipBitOf, LEAST_EVALUATED, type RoundPrivacy } from '../domain/private-round.ts';
import type { RoundState } from '../domain/round.ts';
import { type ConfigEntry, real } from '../domain/scalar.ts';
import type { MaskedTerms, NoisedRound, RoundIntake } from '../store/contract.ts';
import type { Ground } from './ground.ts';
import type { OpenRound } from './open-round.ts';
import { denominatorOf, noiseOf } from './private-round.ts';

/** What counts of the answers to one cohort's tasks: folded one by one as they are accepted, and put together when the round is over. */
export class CountedAnswers {
  /** Resolves when all that was counted is in the sum; rejects if something cannot be. */
  folded: Promise<void> = Promise.resolve();
  private readonly ground: Ground;
  private readonly plan: Plan;
  private readonly round: OpenRound;
  private readonly intake: RoundIntake;
  private readonly counted = new Map<string, AcceptedAnswer>();
  /** Of a private round, by task: +1 for an update that needed no clipping, −1 for one that did. */
  private readonly clipBits = new Map<string, number>();

  constructor(ground: Ground, plan: Plan, round: OpenRound, intake: RoundIntake) {
    this.ground = ground;
    this.plan = plan;
    this.round = round;
    this.intake = intake;
  }

  /** From here on the answer is part of the sum. The adding itself goes on behind the verdict. */
  count(answer: AcceptedAnswer): void {
    const { measures, clock, telemetry } = this.ground;
    this.counted.set(answer.taskId, answer);
    if (answer.flower !== undefined && answer.flower.stage !== 'collect_masked_vectors') return;
    if (this.round.state().kind !== 'train' && maskedTermsOf(this.round.state()) === null) return;
    const attributes = { 'aegis.node_id': String(answer.nodeId) };
    this.folded = this.folded.then(async () => {
      const begun = clock.monotonic();
      const fold = () => this.round.untilAvailable(() => this.fold(answer));
      await telemetry.inSpan('fold', { parent: this.round.parent(), attributes }, fold);
      measures.foldSeconds.record((clock.monotonic() - begun) / 1000);
    });
    // whoever finishes the round waits for `folded` and meets the error there
    this.folded.catch(() => {});
  }

  /** The weighted means of what was reported, and notes on what could not be averaged. */
  metrics(): { metrics: ConfigEntry[]; notes: string[] } {
    // learned from what is protected: nobody accounts for them, so nobody gets them
    if (this.privacy() !== undefined) return { metrics: [], notes: [] };
    const { privacy, layout } = this.plan;
    if (privacy === undefined) return weightedMeans(this.inOrder(), layout.weightedByKey);
    // of an evaluation in the clear nothing is told that is about one node: no mean of one, and no notes, which name nodes
    return { metrics: weightedMeans(this.inOrder(), layout.weightedByKey, LEAST_EVALUATED).metrics, notes: [] };
  }

  /** The model that the answers make together. */
  async writeModel(): Promise<ModelInfo> {
    await this.folded;
    const [first] = this.inOrder();
    if (first === undefined) throw new AegisError('INTERNAL', 'A round without answers was to be finished.');
    return this.round.state().kind === 'initial-model' ? this.intake.writeFirst(first) : this.intake.writeMean();
  }

  /** What is left of the sum of masked answers when the total mask is taken away. */
  async openMasked(mask: Uint8Array, survivors: number): Promise<{ metrics: ConfigEntry[]; model: ModelInfo | null }> {
    await this.folded;
    const terms = maskedTermsOf(this.round.state());
    if (terms === null) throw new AegisError('INTERNAL', 'Masks were to be taken away from answers without any.');
    const divisor = this.privacy() === undefined ? undefined : denominatorOf(this.round.state());
    const { model, metrics } = await this.intake.masked.open(mask, survivors, { ...terms, divisor });
    const named = terms.masking.grid.metrics.map(({ name }, at) => ({ key: name, value: real(metrics[at] ?? 0) }));
    return { metrics: named, model };
  }

  /** What a node said to a task of Flower's SecAgg+, if it counts. */
  flowerSaid(taskId: string): FlowerSaid | undefined {
    return this.counted.get(taskId)?.flower;
  }

  /** The mean of what Flower's SecAgg+ masked. */
  async openFlower(removal: Removal): Promise<ModelInfo> {
    await this.folded;
    return this.intake.flower.open(removal, this.flowerTerms());
  }

  /** What a private round releases, also when nobody answered. */
  async writeNoised(): Promise<NoisedRound> {
    await this.folded;
    const state = this.round.state();
    const { clip, weightMax } = state.rules.privacy as RoundPrivacy;
    const clipBits = [...this.clipBits.values()].reduce((sum, bit) => sum + bit, 0);
    return this.intake.privately.writeNoised({ ...noiseOf(state), clip, weightMax, clipBits });
  }

  hasNoised(): Promise<boolean> {
    return this.intake.privately.hasNoised();
  }

  private async fold(answer: AcceptedAnswer): Promise<void> {
    if (answer.flower?.stage === 'collect_masked_vectors')
      return this.intake.flower.add(answer.flower.arrays, this.flowerTerms());
    const terms = maskedTermsOf(this.round.state());
    if (terms !== null) return this.intake.masked.add(answer, terms);
    const privacy = this.privacy();
    if (privacy === undefined) return this.intake.fold(answer);
    const { clip, weightMax } = privacy;
    const { clipped } = await this.intake.privately.add(answer, { clip, weightMax });
    this.clipBits.set(answer.taskId, clipBitOf(clipped, answer.metrics));
  }

  private privacy(): RoundPrivacy | undefined {
    return this.round.state().rules.privacy;
  }

  private flowerTerms(): FlowerTerms {
    const { flower } = this.round.state();
    if (flower === undefined) throw new AegisError('INTERNAL', 'Masks were to be taken away from answers without any.');
    return flower.terms;
  }

  /** By node, so that sums of metrics do not depend on who was first. */
  private inOrder(): AcceptedAnswer[] {
    const updates = [...this.counted.values()].filter(
      ({ flower }) => flower === undefined || flower.stage === 'collect_masked_vectors',
    );
    return updates.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  }
}

/** What a masked round's vectors are held to; null of a round in the clear. */
export const maskedTermsOf = ({ runId, masking }: RoundState): MaskedTerms | null =>
  masking === undefined ? null : { runId, masking };
