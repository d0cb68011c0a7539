import type { Masking } from '@aegis/contracts/aegis/events/v1/task';
import { type OpenRequest, RoundsService, type RoundRef as WireRef } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { AegisError } from '@aegis/errors';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import type { Opened, RoundRef } from '../domain/masking.ts';
import { awaitSharing } from '../flows/await-sharing.ts';
import { endRound } from '../flows/end-round.ts';
import type { Ground } from '../flows/ground.ts';
import { openRound } from '../flows/open-round.ts';
import { unmask } from '../flows/unmask.ts';

const PIECE_BYTES = 1024 * 1024;
const nothing = Buffer.alloc(0);

/** One masked attempt at a round, as the aggregator leads it. */
export const roundsService = (ground: Ground): LocalService =>
  serviceOf(RoundsService, {
    open: async (request) => {
      await openRound(ground, readOpened(request));
      return {};
    },
    awaitSharing: async ({ round }, { signal }) => {
      const outcome = await awaitSharing(ground, readRef(round), signal);
      if (outcome === null) return { participants: [], excluded: [], nothingYet: true };
      return {
        participants: outcome.participants.map(BigInt),
        excluded: outcome.excluded.map(({ node, reason }) => ({ nodeId: BigInt(node), reason })),
        nothingYet: false,
      };
    },
    unmask: async function* ({ round, survivors }, { signal }) {
      const nodes = survivors.map((node) => node.toString());
      const { confirmed, opened, content } = await unmask(ground, readRef(round), nodes, signal);
      yield { confirmed: confirmed.map(BigInt), opened: opened.map(BigInt), content: nothing };
      for (let at = 0; at < content.length; at += PIECE_BYTES) {
        yield { confirmed: [], opened: [], content: content.subarray(at, at + PIECE_BYTES) };
      }
    },
    end: async ({ round, reason }) => {
      await endRound(ground, readRef(round), reason);
      return {};
    },
  });

const readRef = (ref: WireRef | undefined): RoundRef => {
  if (!ref) throw new AegisError('REQUEST_MALFORMED', 'No round is named.');
  return { runId: ref.runId.toString(), round: ref.round.toString() };
};

const readOpened = ({ round, masking, cohort, modelId, traceparent }: OpenRequest): Opened => {
  const ref = readRef(round);
  if (!masking) throw new AegisError('REQUEST_MALFORMED', 'A round without masking is none of this service.');
  if (masking.round.toString() !== ref.round) {
    throw new AegisError('REQUEST_MALFORMED', `The terms are of round ${masking.round}, not of ${ref.round}.`);
  }
  return {
    ref,
    terms: termsOf(ref, masking),
    colluders: masking.colluders,
    stageSeconds: masking.stageSeconds,
    cohort: cohort.map(({ taskId, nodeId }) => ({ taskId, node: nodeId.toString() })),
    modelId,
    traceparent,
  };
};

const termsOf = (ref: RoundRef, masking: Masking): Opened['terms'] => ({
  run: ref.runId,
  round: ref.round,
  plan: masking.plan.toString('hex'),
  degree: masking.degree,
  threshold: masking.threshold,
  minSurvivors: masking.minSurvivors,
  bits: masking.bits,
  length: masking.length.toString(),
});
