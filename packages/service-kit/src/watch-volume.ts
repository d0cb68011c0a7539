import { statfs } from 'node:fs/promises';
import type { Meter } from '@opentelemetry/api';

/** Left out, a series would keep its last value for ever. */
const unknown = { blocks: Number.NaN, bavail: Number.NaN, bsize: 1 };

/** Shows how much room the file system under `path` has, NaN when it cannot be asked; `of` names the service whose state lies there. */
export const watchVolume = (meter: Meter, of: string, path: string): void => {
  const size = meter.createObservableGauge('aegis_state_size_bytes', {
    description: 'Size of the file system that a state directory is on, by service.',
  });
  const free = meter.createObservableGauge('aegis_state_available_bytes', {
    description: 'Of it, the bytes that the service may still write.',
  });
  meter.addBatchObservableCallback(
    async (result) => {
      const { blocks, bavail, bsize } = await statfs(path).catch(() => unknown);
      result.observe(size, blocks * bsize, { of });
      result.observe(free, bavail * bsize, { of });
    },
    [size, free],
  );
};
