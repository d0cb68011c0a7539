import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { type ExchangeResponse, RelayService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { AegisError } from '@aegis/errors';
import type { ServiceChannel } from '@aegis/service-kit';
import type { Stage, StageNews } from '../domain/stage.ts';
import type { SecaggPeer } from './contract.ts';

const stages = {
  advertise: SecaggStage.ADVERTISE,
  share: SecaggStage.SHARE,
  mask: SecaggStage.MASK,
  confirm: SecaggStage.CONFIRM,
  unmask: SecaggStage.UNMASK,
} as const satisfies Record<Stage, SecaggStage>;

/** The secagg service's Relay, in this process or behind gRPC; null: there is none, and no masked round either. */
export const secaggPeer = (channel: ServiceChannel | null): SecaggPeer => {
  if (channel === null) return absent;
  const relay = channel.client(RelayService);
  return {
    exchange: async ({ taskId, runId, nodeId }, { stage, answer }, signal) =>
      toNews(await relay.exchange({ taskId, runId, nodeId, stage: stages[stage], answer }, { signal })),
  };
};

const absent: SecaggPeer = {
  exchange: async () => {
    throw new AegisError('SECAGG_ROUND_OVER', 'This server has no service for secure aggregation.');
  },
};

const toNews = ({ stage, request, nothingYet, done }: ExchangeResponse): StageNews => {
  if (done) return { what: 'done' };
  if (nothingYet) return { what: 'nothing-yet' };
  const known = (Object.keys(stages) as Stage[]).find((name) => stages[name] === stage);
  if (known === undefined) throw new AegisError('INTERNAL', `The secagg service asked for a stage ${stage}.`);
  return { what: 'request', stage: known, request };
};
