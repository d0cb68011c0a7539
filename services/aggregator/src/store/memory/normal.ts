import type { Random } from '@aegis/service-kit';

/** Samples of N(0, 1) by Box and Muller: enough for tests, where nothing is protected. What protects is the core's. */
export const normalOf =
  ({ bytes }: Pick<Random, 'bytes'>): (() => number) =>
  () => {
    const uniform = (): number => (bytes(4).readUInt32LE() + 1) / 2 ** 32;
    return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  };
