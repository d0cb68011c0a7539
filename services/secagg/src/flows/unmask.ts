import { CoreError } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import type { NodeId, RoundRef } from '../domain/masking.ts';
import { openable, sharingOutcome } from '../domain/outcome.ts';
import { checkSurvivors } from '../domain/stages/survive.ts';
import { ascending, type Openable, type Round } from '../domain/state.ts';
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
  if (state === null) throw goesAway();
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
  const { clock, telemetry, measures } = ground;
  const { traceparent, ref } = round.opened;
  const attributes = { 'aegis.run': ref.runId, 'aegis.secagg.round': ref.round };
  return round.once('total-mask', () =>
    telemetry.inSpan('secagg.total-mask', { parent: traceparent || undefined, attributes }, async () => {
      const begun = clock.monotonic();
      const mask = await maskInSpiteOfOne(ground, round, state);
      measures.maskSeconds.record((clock.monotonic() - begun) / 1000);
      measures.unmasked.add(1);
      return mask;
    }),
  );
};

/**
 * A share of the right form may have a wrong value, and which one it is nobody can see. So the openings are tried without each of them in turn, as
 * long as enough are left, and again with every one that still comes. Two liars end the round.
 */
const maskInSpiteOfOne = async (ground: Ground, round: LiveRound, first: Openable): Promise<Buffer> => {
  const { clock, store } = ground;
  const deadline = clock.monotonic() + round.opened.stageSeconds * 1000;
  let failure: CoreError | null = null;
  for (let state: Openable | null = first; state !== null; ) {
    const { openings }: Openable = state;
    for (const leftOut of [null, ...[...openings.keys()].slice(0, MOST_TRIES)]) {
      try {
        const mask = await maskWithout(state, leftOut, ground.threads);
        if (mask) return mask;
      } catch (error) {
        if (!(error instanceof CoreError)) throw error;
        failure = error;
      }
    }
    if (openings.size === state.confirmations.size) break;
    const more = (now: Round): Openable | null =>
      now.stage === 'open' && now.openings.size > openings.size ? now : null;
    state = await round.until(more, deadline - clock.monotonic(), forEver);
    // This process goes away; another one may hear of more.
    if (state === null && round.isOver && round.state.stage === 'open') throw goesAway();
  }
  const reason = `The opened shares give no secret: ${failure?.code}, node ${failure?.detail.node ?? 'unknown'}.`;
  await store.end(round.opened.ref, { kind: 'ended', code: 'SECAGG_TOO_FEW', reason });
  throw new AegisError('SECAGG_TOO_FEW', reason, failure);
};

/** Null: too few shares are left without it. */
const maskWithout = async (state: Openable, leftOut: NodeId | null, threads: number): Promise<Buffer | null> => {
  const removal = removalOf(state);
  for (const { node, seeds, keys } of state.openings.values()) {
    if (node !== leftOut) removal.take({ node, seeds: [...seeds], keys: [...keys] });
  }
  return removal.isPossible ? removal.totalMask(threads) : null;
};

const goesAway = (): AegisError => new AegisError('UNAVAILABLE', 'The service goes away; ask again.');

/** Each try reads the roster again. */
const MOST_TRIES = 64;
const forEver = new AbortController().signal;
