// The frame of a service's main.ts.
import { parseArgs } from 'node:util';
import { AegisError } from '@aegis/errors';
import type { ZodType } from 'zod';
import { loadConfig } from './config.ts';
import { createTelemetry } from './create-telemetry.ts';
import { runService, type Stoppable } from './lifecycle.ts';
import { createLogger, type Logger, type LogLevel } from './logger.ts';
import type { Telemetry } from './telemetry.ts';

export interface ProcessParts<C> {
  readonly name: string;
  readonly config: C;
  readonly log: Logger;
  readonly telemetry: Telemetry;
}

/** `node main.ts --config FILE`: starts, runs until told to stop, exits. What `start` returns is closed before the telemetry is. */
export const serviceProcess = async <C extends { readonly log: { readonly level: LogLevel } }>(
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
    const service = await start({ name, config, log, telemetry });
    return {
      drain: () => service.drain(),
      close: async () => {
        await service.close();
        await telemetry.shutdown();
      },
    };
  });
