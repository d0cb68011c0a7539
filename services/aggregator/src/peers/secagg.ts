import { RoundsService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import type { ServiceChannel } from '@aegis/service-kit';
import type { MaskedRef, Secagg } from './contract.ts';
import { toWireMasking } from './wire-masking.ts';

/** Opening writes once, ending too. */
const TIMEOUT_MS = 30_000;
/** Longer than the service holds an answer back. */
const HELD_MS = 60_000;

/** The secagg service, in this process or behind gRPC. */
export function secaggPeer(channel: ServiceChannel): Secagg {
  const rounds = channel.client(RoundsService);
  return {
    open: async ({ masking, cohort, modelId, traceparent, ...ref }, signal) => {
      const participants = cohort.map(({ taskId, nodeId }) => ({ taskId, nodeId }));
      await rounds.open(
        { round: toRef(ref), masking: toWireMasking(masking), cohort: participants, modelId, traceparent },
        { signal, timeoutMs: TIMEOUT_MS },
      );
    },
    awaitSharing: async (ref, signal) => {
      const answer = await rounds.awaitSharing({ round: toRef(ref) }, { signal, timeoutMs: HELD_MS });
      if (answer.nothingYet) return null;
      return {
        participants: answer.participants,
        excluded: answer.excluded.map(({ nodeId, reason }) => ({ nodeId, reason })),
      };
    },
    unmask: async (ref, survivors, signal) => {
      const request = { round: toRef(ref), survivors: [...survivors] };
      const confirmed: bigint[] = [];
      const opened: bigint[] = [];
      const pieces: Buffer[] = [];
      for await (const piece of rounds.unmask(request, { signal })) {
        confirmed.push(...piece.confirmed);
        opened.push(...piece.opened);
        pieces.push(piece.content);
      }
      return { confirmed, opened, mask: Buffer.concat(pieces) };
    },
    end: async (ref, reason, signal) => {
      await rounds.end({ round: toRef(ref), reason }, { signal, timeoutMs: TIMEOUT_MS });
    },
  };
}

const toRef = ({ runId, round }: MaskedRef) => ({ runId, round: BigInt(round) });
