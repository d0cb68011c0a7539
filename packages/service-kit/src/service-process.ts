// The frame of a service's main.ts.
import { parseArgs } from 'node:util';
import { AegisError } from '@aegis/errors';
import type { ZodType } from 'zod';
import { systemClock } from './clock.ts';
import { loadConfig } from './config.ts';
import { createTelemetry } from './create-telemetry.ts';
import { runService, type Stoppable } from './lifecycle.ts';
import { createLogger, type Logger, type LogLevel } from './logger.ts';
import { serveMetrics } from './metrics-door.ts';
import type { Telemetry } from './telemetry.ts';

export interface ProcessParts<C> {
  readonly name: string;
  readonly config: C;
  readonly log: Logger;
  readonly telemetry: Telemetry;
  /**
   * /readyz says no until `ready` has said yes once, and while the process drains. In between it says yes, whatever happens to NATS: an outage of
   * what all replicas stand on would take all of them out of service at once, and callers would find nobody who tells them to come back.
   */
  readyWhen(ready: () => boolean): void;
}

interface ConfigOfAll {
  readonly log: { readonly level: LogLevel };
  readonly metrics?: { readonly address: string } | undefined;
  readonly 'drain-after-seconds'?: number | undefined;
}

/**
 * `node main.ts --config FILE`: starts, runs until told to stop, exits. The door of metrics and probes opens first, so that a process that waits for
 * NATS says so instead of being silent. What `start` returns is closed before the telemetry is.
 */
export const serviceProcess = async <C extends ConfigOfAll>(
  name: string,
  schema: ZodType<C>,
  start: (parts: ProcessParts<C>) => Promise<Stoppable>,
): Promise<never> =>
  runService(createLogger({ name }), async () => {
    const { config: file } = parseArgs({ options: { config: { type: 'string' } } }).values;
    if (file === undefined) throw new AegisError('CONFIG_INVALID', 'Say which: --config FILE');
    const config = loadConfig(file, schema);
    const log = createLogger({ name, level: config.log.level });
    const telemetry = createTelemetry({ service: `aegis-${name}`, version: '0.1.0' });
    let ready: (() => boolean) | undefined;
    let wasReady = false;
    let draining = false;
    const notReady = (): string | null => {
      if (draining) return 'draining';
      if (ready === undefined) return 'starting';
      wasReady ||= ready();
      return wasReady ? null : 'not ready: see the log';
    };
    const door = config.metrics && (await serveMetrics(config.metrics.address, telemetry, notReady));
    const readyWhen = (look: () => boolean): void => {
      ready = look;
    };
    const service = await start({ name, config, log, telemetry, readyWhen });
    return {
      drain: async () => {
        draining = true;
        await systemClock.sleep((config['drain-after-seconds'] ?? 0) * 1_000);
        await service.drain();
      },
      close: async () => {
        await service.close();
        await door?.close();
        await telemetry.shutdown();
      },
    };
  });
