import { type Masking, SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { RelayService, RoundsService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import {
  inProcessChannel,
  noTelemetry,
  type ServiceChannel,
  SigningTrust,
  silentLogger,
  type Telemetry,
} from '@aegis/service-kit';
import { FakeClock } from '@aegis/testkit';
import { relayService } from '../api/relay.ts';
import { roundsService } from '../api/rounds.ts';
import { LiveRounds } from '../flows/live-rounds.ts';
import { createMeasures } from '../flows/measures.ts';
import type { RoundStore } from '../store/contract.ts';
import type { Plan, TestNode } from './cohort.ts';

const nothing = Buffer.alloc(0);
export const STAGE_SECONDS = 30;
export const stages = {
  advertise: SecaggStage.ADVERTISE,
  share: SecaggStage.SHARE,
  mask: SecaggStage.MASK,
  confirm: SecaggStage.CONFIRM,
  unmask: SecaggStage.UNMASK,
} as const;

const wire = ({ terms, cohort, colluders }: Plan): Masking => ({
  ...{ cohort, dropouts: 0, colluders, plan: Buffer.from(terms.plan, 'hex'), round: BigInt(terms.round) },
  ...{ degree: terms.degree, threshold: terms.threshold, minSurvivors: terms.minSurvivors, bits: terms.bits },
  ...{ length: BigInt(terms.length), grid: undefined, stageSeconds: STAGE_SECONDS },
});

const refOf = ({ terms }: Plan) => ({ runId: BigInt(terms.run), round: BigInt(terms.round) });

/** The service as gateway and aggregator call it, over whichever channel. */
export const callersOf = (channel: ServiceChannel) => {
  const relay = channel.client(RelayService);
  const aggregator = channel.client(RoundsService);
  const once = (node: TestNode, plan: Plan, stage: keyof typeof stages, answer: Buffer, signal?: AbortSignal) =>
    relay.exchange(
      {
        taskId: node.taskId,
        runId: BigInt(plan.terms.run),
        nodeId: BigInt(node.id),
        stage: stages[stage],
        answer,
      },
      { timeoutMs: 600_000, ...(signal && { signal }) },
    );
  return {
    once,
    /** As the gateway waits: with the answer, then without, until there is something. */
    say: async (
      node: TestNode,
      plan: Plan,
      stage: keyof typeof stages,
      answer: Buffer = nothing,
      signal?: AbortSignal,
    ) => {
      let response = await once(node, plan, stage, answer, signal);
      while (response.nothingYet) response = await once(node, plan, stage, nothing, signal);
      return response;
    },
    open: (plan: Plan, nodes: readonly TestNode[], changes: { modelId?: string; traceparent?: string } = {}) =>
      aggregator.open({
        round: refOf(plan),
        masking: wire(plan),
        cohort: nodes.map(({ taskId, id }) => ({ taskId, nodeId: BigInt(id) })),
        modelId: plan.modelId,
        traceparent: '',
        ...changes,
      }),
    awaitSharing: (plan: Plan) => aggregator.awaitSharing({ round: refOf(plan) }, { timeoutMs: 600_000 }),
    unmask: async (plan: Plan, survivors: readonly string[]) => {
      const [confirmed, opened, pieces]: [bigint[], bigint[], Buffer[]] = [[], [], []];
      for await (const piece of aggregator.unmask({ round: refOf(plan), survivors: survivors.map(BigInt) })) {
        confirmed.push(...piece.confirmed);
        opened.push(...piece.opened);
        pieces.push(piece.content);
      }
      return { confirmed, opened, mask: Buffer.concat(pieces) };
    },
    end: (plan: Plan, reason = 'The test is over.') => aggregator.end({ round: refOf(plan), reason }),
  };
};

/** One process of the service, on whatever store it is given. */
export const serviceOn = (
  store: RoundStore,
  rootPem: string,
  { clock = new FakeClock(Date.now()), telemetry = noTelemetry }: { clock?: FakeClock; telemetry?: Telemetry } = {},
) => {
  const roundGround = { store, clock, telemetry, measures: createMeasures(telemetry), log: silentLogger };
  const rounds = new LiveRounds(roundGround);
  const trust = rootPem === '' ? null : SigningTrust.in(rootPem);
  const ground = { ...roundGround, rounds, trust, threads: 1 };
  const channel = inProcessChannel([relayService(ground), roundsService(ground)], { log: silentLogger });
  return { ...callersOf(channel), clock, rounds, ground, close: () => rounds.drain() };
};
export type TestService = ReturnType<typeof serviceOn>;
