import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AegisError } from '@aegis/errors';

/** The nats-server executable: AEGIS_NATS_SERVER, else `.cache/bin/nats-server` of the checkout this code is in (`make setup` puts it there). */
export const natsServerBinary = (env: Readonly<Record<string, string | undefined>> = process.env): string => {
  const named = env.AEGIS_NATS_SERVER;
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    throw new AegisError('CONFIG_INVALID', `AEGIS_NATS_SERVER names ${named}, which is not there.`);
  }
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const file = join(folder, '.cache/bin/nats-server');
    if (existsSync(file)) return file;
    if (folder === dirname(folder)) {
      throw new AegisError('CONFIG_INVALID', 'No nats-server found: run `make setup`, or set AEGIS_NATS_SERVER.');
    }
  }
};
