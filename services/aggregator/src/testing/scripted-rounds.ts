// The scripted secagg service behind the contract of the real one: for aggregators that reach it over a channel.
import type { Masking as WireMasking, Task as WireTask } from '@aegis/contracts/aegis/events/v1/task';
import { type RoundRef, RoundsService } from '@aegis/contracts/aegis/secagg/v1/secagg';
import { AegisError } from '@aegis/errors';
import { inProcessChannel, noTelemetry, type ServiceChannel, serviceOf, silentLogger } from '@aegis/service-kit';
import type { Masking } from '../domain/masking.ts';
import type { MaskedRef, Task } from '../peers/contract.ts';
import type { ScriptedSecagg } from './scripted-secagg.ts';

const toRef = (ref: RoundRef | undefined): MaskedRef => ({
  runId: ref?.runId ?? 0n,
  round: Number(ref?.round ?? 0),
});

function toMasking(wire: WireMasking | undefined): Masking {
  if (wire?.grid === undefined) throw new AegisError('REQUEST_MALFORMED', 'There are no terms.');
  const { ownClips, weightMax, metrics, ...grid } = wire.grid;
  const clips = Object.entries(ownClips).map(([tensor, clip]) => ({ tensor, clip }));
  return {
    ...wire,
    plan: wire.plan.toString('hex'),
    round: Number(wire.round),
    length: Number(wire.length),
    grid: { ...grid, metrics, ownClips: clips, weightMax: Number(weightMax) },
  };
}

/** As far as a guard looks at it. */
export const toTask = (wire: WireTask, kind: Task['kind']): Task => ({
  ...wire,
  kind,
  modelId: wire.modelId,
  config: [],
  layout: { dialect: 'message', arrayRecordKey: '', configRecordKey: '', weightedByKey: '' },
  ttlSeconds: wire.ttl,
  masking: toMasking(wire.masking),
  flower: undefined,
});

export const scriptedRounds = (secagg: ScriptedSecagg): ServiceChannel =>
  inProcessChannel(
    [
      serviceOf(RoundsService, {
        open: async ({ round, masking, cohort, modelId, traceparent }) => {
          await secagg.open({ ...toRef(round), masking: toMasking(masking), cohort, modelId, traceparent });
          return {};
        },
        awaitSharing: async ({ round }, { signal }) => {
          const sharing = await secagg.awaitSharing(toRef(round), signal);
          return {
            participants: [...(sharing?.participants ?? [])],
            excluded: [...(sharing?.excluded ?? [])],
            nothingYet: sharing === null,
          };
        },
        unmask: async function* ({ round, survivors }, { signal }) {
          const { mask, confirmed, opened } = await secagg.unmask(toRef(round), survivors, signal);
          yield { confirmed: [...confirmed], opened: [...opened], content: Buffer.alloc(0) };
          for (let at = 0; at < mask.length; at += 100)
            yield { confirmed: [], opened: [], content: mask.subarray(at, at + 100) };
        },
        end: async ({ round, reason }, { signal }) => {
          await secagg.end(toRef(round), reason, signal);
          return {};
        },
      }),
    ],
    { log: silentLogger, telemetry: noTelemetry },
  );
