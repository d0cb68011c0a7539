import { aegis } from '../peers/aegis.ts';
import type { StartServer } from '../peers/contract.ts';
import { flower } from '../peers/flower.ts';
import type { BenchContext, Comparison, Reading, Side } from './contract.ts';

/** The server of each side; the peer is flwr 1.41 over HTTP unless the work is gRPC's. */
export const serverOf = (side: Side, dialect: 'http' | 'grpc' = 'http'): StartServer =>
  side === 'aegis' ? aegis : flower(dialect === 'http' ? '1.41.0' : '1.39.0');

/** The same measurement on the sides asked for, one after the other. */
export async function onBothSides(
  context: BenchContext,
  ids: string[],
  measure: (side: Side) => Promise<Record<string, Reading>>,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = ids.map((id) => ({ id, aegis: null, peer: null }));
  for (const side of context.sides) {
    context.log(`  ${side} …`);
    const readings = await measure(side);
    for (const comparison of comparisons) {
      comparison[side] = readings[comparison.id] ?? null;
      const reading = comparison[side];
      if (reading) context.log(`  ${side}: ${comparison.id} ${reading.value.toPrecision(4)} (${reading.note})`);
    }
  }
  return comparisons;
}
