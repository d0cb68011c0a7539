import { release as decide } from '../domain/release.ts';
import type { Ground } from './ground.ts';
import { type Granted, grantedOf } from './reserve.ts';

/** Gives back what provably never left. */
export function release(ground: Ground, asked: { id: string; proof: string; reason: string }): Promise<Granted> {
  const { telemetry, ledger, measures } = ground;
  return telemetry.inSpan('release', { attributes: { 'aegis.ledger.reservation': asked.id } }, async (span) => {
    const { outcome, granted } = await ledger.write((book) => {
      const facts = decide(book, asked);
      const outcome = facts.length > 0 ? 'released' : 'repeated';
      return { facts, value: (after) => ({ outcome, granted: grantedOf(ground, after, asked.id) }) };
    });
    span.setAttribute('aegis.ledger.outcome', outcome);
    measures.operations.add(1, { operation: 'release', outcome });
    ground.alerts.charged(granted.balances, span);
    return granted;
  });
}
