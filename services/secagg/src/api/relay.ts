import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { RelayService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { exchange } from '../flows/exchange.ts';
import type { Ground } from '../flows/ground.ts';
import { readSaid, readStage } from './answers.ts';
import { writeRequest } from './requests.ts';

const nothing = Buffer.alloc(0);

/** What nodes say and are asked, as the gateway passes it on. */
export const relayService = (ground: Ground): LocalService =>
  serviceOf(RelayService, {
    exchange: async ({ taskId, runId, nodeId, stage: number, answer }, { signal }) => {
      const stage = readStage(number);
      const said = readSaid(stage, answer);
      const asked = { taskId, runId: runId.toString(), node: nodeId.toString(), stage, said };
      const { request, terms } = await exchange(ground, asked, signal);
      const blank = { stage: SecaggStage.UNSPECIFIED, request: nothing, nothingYet: false, done: false };
      if (request === null) return { ...blank, nothingYet: true };
      if (request.stage === 'done') return { ...blank, done: true };
      return { ...blank, ...writeRequest(request, terms) };
    },
  });
