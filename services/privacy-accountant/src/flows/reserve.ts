import { AegisError } from '@aegis/errors';
import type { Balance } from '../domain/balance.ts';
import type { Book, Reservation } from '../domain/book.ts';
import { eventTexts } from '../domain/charges.ts';
import type { AskedPolicy, Policy } from '../domain/policy.ts';
import type { Refusal } from '../domain/refusal.ts';
import { type Answer, reserve as decide, runBudget, type Scheduled } from '../domain/reserve.ts';
import { balancesOf } from './balances.ts';
import type { Ground } from './ground.ts';
import { digestOf, readCharges, readCheckedPolicy } from './read-asked.ts';

export interface ReserveAsked {
  readonly key: string;
  readonly policy: AskedPolicy;
  readonly units: readonly string[];
  readonly events: readonly string[];
}

export interface Granted {
  readonly reservation: Reservation;
  readonly balances: readonly Balance[];
}

export type Reserved = { readonly granted: Granted } | { readonly refused: Refusal };

/** Durable, and counted as spent, when it resolves as granted. The same key with the same content is the same reservation. */
export function reserve(ground: Ground, asked: ReserveAsked): Promise<Reserved> {
  const { telemetry, accounting, ledger, random, clock } = ground;
  const attributes = { 'aegis.run': asked.policy.runId.toString(), 'aegis.ledger.key': asked.key };
  return telemetry.inSpan('reserve', { attributes }, async (span) => {
    const { policy, digest: policyDigest } = readCheckedPolicy(accounting, asked.policy);
    const events = readCharges(accounting, asked.events, policy.unit);
    const digest = digestOf([policyDigest, ...eventTexts(events), ...[...asked.units].sort()]);
    const ask = { key: asked.key, digest, policy, policyDigest, units: asked.units, events };
    const scheduled = await beforeItBegins(ground, policy);
    const reserved = await ledger.write((book) => {
      const answer = decide(book, ask, random.ulid(clock.now()), scheduled, accounting);
      return {
        facts: answer.outcome === 'granted' ? answer.facts : [],
        value: (after) => encode(ground, after, answer),
      };
    });
    const outcome = 'refused' in reserved.result ? 'refused' : reserved.outcome;
    span.setAttribute('aegis.ledger.outcome', outcome);
    ground.measures.operations.add(1, { operation: 'reserve', outcome });
    if ('refused' in reserved.result) ground.alerts.refused(reserved.result.refused);
    else {
      span.setAttribute('aegis.ledger.reservation', reserved.result.granted.reservation.id);
      ground.alerts.charged(reserved.result.granted.balances, span);
    }
    return reserved.result;
  });
}

/** What the core says of the schedule of a run that begins with this; null for all others. Takes its time, so it is asked before the book is. */
async function beforeItBegins({ ledger, accounting }: Ground, policy: Policy): Promise<Scheduled | null> {
  const { schedule } = policy;
  if (schedule === null) return null;
  const delta = await ledger.read((book) =>
    book.runs.has(policy.runId) ? null : runBudget(book, policy, accounting).delta,
  );
  return delta === null ? null : { delta, ...(await accounting.epsilonOf(schedule, delta)) };
}

const encode = (ground: Ground, book: Book, answer: Answer): { outcome: string; result: Reserved } =>
  answer.outcome === 'refused'
    ? { outcome: 'refused', result: { refused: answer.refusal } }
    : { outcome: answer.outcome, result: { granted: grantedOf(ground, book, answer.id) } };

export function grantedOf(ground: Ground, book: Book, id: string): Granted {
  const reservation = book.reservations.get(id);
  if (reservation === undefined) throw new AegisError('INTERNAL', '', new Error(`${id} is not in the book`));
  return { reservation, balances: balancesOf(ground, book, reservation) };
}
