import type { Masking as WireMasking } from '@aegis/contracts/aegis/events/v1/task';
import type { Masking } from '../domain/masking.ts';

/** The same terms in the task and in what the secagg service is told. */
export const toWireMasking = ({ plan, round, length, grid, ...numbers }: Masking): WireMasking => ({
  ...numbers,
  plan: Buffer.from(plan, 'hex'),
  round: BigInt(round),
  length: BigInt(length),
  grid: {
    ...grid,
    weightMax: BigInt(grid.weightMax),
    noiseSigma: grid.noiseSigma ?? 0,
    metrics: grid.metrics.map((metric) => ({ ...metric })),
    ownClips: Object.fromEntries(grid.ownClips.map(({ tensor, clip }) => [tensor, clip])),
  },
});
