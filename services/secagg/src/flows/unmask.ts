import { CoreError } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { NodeId, RoundRef } from '../domain/masking.ts';
import { openable, sharingOutcome } from '../domain/outcome.ts';
import { checkSurvivors } from '../domain/stages/survive.ts';
import { ascending, type Openable } from '../domain/state.ts';
import type { Ground } from './ground.ts';
import type { LiveRound } from './live-round.ts';
import { removalOf } from './round-core.ts';

export interface TotalMask {
  readonly confirmed: readonly NodeId[];
  readonly opened: readonly NodeId[];
  /** Packed. */
  readonly content: Buffer;
}

/** Asks the survivors to open the masks, and makes one mask of them. The first survivors stand. */
export const unmask = async (
  ground: Ground,
  ref: RoundRef,
  survivors: readonly NodeId[],
  signal: AbortSignal,
): Promise<TotalMask> => {
  const round = await ground.rounds.get(ref);
  await fixSurvivors(round, survivors);
  const state = await round.until(openable, Number.POSITIVE_INFINITY, signal);
  if (state === null) throw new AegisError('UNAVAILABLE', 'The service goes away; ask again.');
  const content = await totalMask(ground, round, state);
  const { confirmations, openings } = state;
  return { confirmed: ascending(confirmations.keys()), opened: ascending(openings.keys()), content };
};

const fixSurvivors = async (round: LiveRound, survivors: readonly NodeId[]): Promise<void> => {
  if (sharingOutcome(round.state) === null) {
    throw new AegisError('REQUEST_MALFORMED', 'It is not settled yet who takes part: AwaitSharing says when.');
  }
  const { state } = round;
  if ('participants' in state) checkSurvivors(state, survivors);
  if (state.stage === 'mask') await round.add({ kind: 'survivors', survivors: ascending(survivors) });
  const named = round.state;
  if ('survivors' in named && named.survivors.join() !== ascending(survivors).join()) {
    throw new AegisError('SECAGG_KEY_CONFLICT', 'Other survivors were named before, and they stand.');
  }
};

/** Off the event loop, once however many ask. */
const totalMask = (ground: Ground, round: LiveRound, state: Openable): Promise<Buffer> => {
  const { clock, telemetry, measures, threads } = ground;
  const { traceparent, ref } = round.opened;
  const attributes = { 'aegis.run': ref.runId, 'aegis.secagg.round': ref.round };
  return round.once('total-mask', () =>
    telemetry.inSpan('secagg.total-mask', { parent: traceparent || undefined, attributes }, async () => {
      const begun = clock.monotonic();
      try {
        const removal = removalOf(state);
        for (const { node, seeds, keys } of state.openings.values()) {
          removal.take({ node, seeds: [...seeds], keys: [...keys] });
        }
        const mask = await removal.totalMask(threads);
        measures.maskSeconds.record((clock.monotonic() - begun) / 1000);
        measures.unmasked.add(1);
        return mask;
      } catch (error) {
        if (!(error instanceof CoreError)) throw error;
        // Every form was right when it came, and a share is wrong all the same: somebody lied about a secret.
        const reason = `The opened shares give no secret: ${error.code}, node ${error.detail.node ?? 'unknown'}.`;
        await ground.store.end(ref, { kind: 'ended', code: 'SECAGG_TOO_FEW', reason });
        throw new AegisError('SECAGG_TOO_FEW', reason, error);
      }
    }),
  );
};
