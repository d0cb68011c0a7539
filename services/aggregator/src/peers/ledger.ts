import {
  LedgerService,
  ReleaseProof,
  ReservationState,
  ScopeKind,
  type Balance as WireBalance,
  type RunPolicy as WirePolicy,
  type Refusal as WireRefusal,
  type Reservation as WireReservation,
} from '@aegis/contracts/aegis/privacy/v1/privacy';
import { AegisError } from '@aegis/errors';
import type { ServiceChannel } from '@aegis/service-kit';
import type { Balance, Ledger, LedgerAnswer, Refused, Reservation, RunPolicy } from './contract.ts';

/** An answer waits for the ledger's fsync, and a whole schedule for its accounting. */
const TIMEOUT_MS = 60_000;

/** The privacy-accountant, in this process or behind gRPC. */
export function ledgerPeer(channel: ServiceChannel): Ledger {
  const ledger = channel.client(LedgerService);
  const options = { timeoutMs: TIMEOUT_MS };
  return {
    plan: async ({ policy, units }) => {
      const answer = await ledger.plan({ policy: toWire(policy), units: [...units] }, options);
      if (!answer.granted) return refused(answer.refusal);
      const noise = answer.noiseMultiplier || noiseIn(policy.schedule);
      return { granted: true, noiseMultiplier: noise, balances: answer.balances.map(toBalance) };
    },
    reserve: async ({ key, policy, units, events }) => {
      const request = { key, policy: toWire(policy), units: [...units], events: [...events] };
      const { outcome } = await ledger.reserve(request, options);
      return outcome?.$case === 'granted' ? granted(outcome.value) : refused(outcome?.value);
    },
    commit: async ({ reservationId, events, resultDigest, inTheClear }) => {
      const request = { reservationId, events: [...events], resultDigest, inTheClear: [...inTheClear] };
      const { outcome } = await ledger.commit(request, options);
      return outcome?.$case === 'committed' ? granted(outcome.value) : refused(outcome?.value);
    },
    release: async ({ reservationId, reason }) => {
      const proof = ReleaseProof.NOTHING_SEALED;
      await ledger.release({ reservationId, proof, reason }, options);
    },
  };
}

const toWire = ({ runId, dataset, partition = '', unit, epsilon, delta, schedule }: RunPolicy): WirePolicy => ({
  runId,
  dataset,
  partition,
  unit,
  epsilon,
  delta,
  schedule: [...schedule],
});

const granted = (reservation: WireReservation): LedgerAnswer => ({
  granted: true,
  reservation: toReservation(reservation),
});

function refused(refusal: WireRefusal | undefined): Refused {
  if (refusal === undefined) throw new AegisError('INTERNAL', 'The privacy ledger answered nothing.');
  return { granted: false, refusal: [refusal.detail, ...whatFits(refusal)].join(' ') };
}

function whatFits({ fits }: WireRefusal): string[] {
  if (fits === undefined) return [];
  const words = [];
  if (fits.count > 0n) words.push(`${fits.count} of the rounds as planned`);
  if (fits.noiseMultiplier > 0)
    words.push(`all of them with aegis.privacy.noise-multiplier = ${roundUp(fits.noiseMultiplier)}`);
  return [words.length === 0 ? 'Nothing of it would fit.' : `What would fit: ${words.join(', or ')}.`];
}

/** Four digits, and never less noise than was said to fit. */
const roundUp = (noise: number): number => Math.ceil(noise * 1e4) / 1e4;

const states: Partial<Record<ReservationState, Reservation['state']>> = {
  [ReservationState.RESERVED]: 'reserved',
  [ReservationState.COMMITTED]: 'committed',
  [ReservationState.RELEASED]: 'released',
};

function toReservation({ reservationId, state, balances }: WireReservation): Reservation {
  const known = states[state];
  if (known === undefined) throw new AegisError('INTERNAL', `The privacy ledger has a reservation in state ${state}.`);
  return { reservationId, state: known, balances: balances.map(toBalance) };
}

const scopes: Partial<Record<ScopeKind, Balance['scope']>> = {
  [ScopeKind.RUN]: 'run',
  [ScopeKind.DATASET]: 'dataset',
  [ScopeKind.UNIT]: 'unit',
};

const toBalance = ({ scope, epsilonBudget, delta, epsilon, used }: WireBalance): Balance => ({
  scope: scopes[scope?.kind ?? ScopeKind.UNSPECIFIED] ?? 'run',
  epsilonBudget,
  delta,
  epsilon,
  used,
});

/** The plan's own, where it did not ask the ledger for one. */
function noiseIn(schedule: readonly string[]): number {
  const [first] = schedule;
  const noise =
    first === undefined ? undefined : (JSON.parse(first) as { 'noise-multiplier'?: number })['noise-multiplier'];
  if (noise === undefined) throw new AegisError('INTERNAL', 'The privacy ledger found no noise for the plan.');
  return noise;
}
