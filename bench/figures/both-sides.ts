import { EmbeddedAegis } from '../peers/aegis.ts';
import type { StartServer } from '../peers/contract.ts';
import { flower } from '../peers/flower.ts';
import type { BenchContext, Comparison, Reading, Side } from './contract.ts';

/** Flower's server for a dialect: flwr 1.41 over HTTP; 1.39, the last release with it, over gRPC. */
export const flowerFor = (dialect: 'http' | 'grpc'): StartServer => flower(dialect === 'http' ? '1.41.0' : '1.39.0');

/** The server of each side; Aegis embedded. */
export const serverOf = (side: Side, dialect: 'http' | 'grpc' = 'http'): StartServer =>
  side === 'aegis' ? (folder) => EmbeddedAegis.start(folder) : flowerFor(dialect);

/** A node's signature binds its connection to its key, so that only the first call on it is verified. */
export const boundAegis: StartServer = (folder) => EmbeddedAegis.start(folder, ['--signatures', 'per-connection']);

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
