// The privacy accountant as a process of its own: node services/privacy-accountant/src/main.ts --config FILE
import { parseArgs } from 'node:util';
import { connectBus } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import {
  createLogger,
  createTelemetry,
  loadConfig,
  readTls,
  runService,
  serveGrpc,
  serveMetrics,
} from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startAccountant } from './index.ts';

const log = createLogger({ name: 'privacy-accountant' });

await runService(log, async () => {
  const { config: file } = parseArgs({ options: { config: { type: 'string' } } }).values;
  if (file === undefined) throw new AegisError('CONFIG_INVALID', 'Say which: --config FILE');
  const config = loadConfig(file, processConfig);
  const own = createLogger({ name: 'privacy-accountant', level: config.log.level });
  const telemetry = createTelemetry({ service: 'aegis-privacy-accountant', version: '0.1.0' });

  const { servers, user, 'password-file': password, tls: natsTls, replicas } = config.nats;
  const bus = await connectBus({
    servers,
    name: 'privacy-accountant',
    replicas,
    log: own,
    telemetry,
    ...(user !== undefined && password !== undefined && { credentials: { user, password } }),
    ...(natsTls && { tls: readTls(natsTls) }),
  });
  const { address, tls, insecure, callers } = config.listen;
  const accountant = await startAccountant(config.accountant, { bus, telemetry, log: own });

  const server = await serveGrpc({
    address,
    insecure,
    callers,
    services: accountant.services,
    log: own,
    telemetry,
    // Of several processes the one that writes is ready; the others are asked nothing.
    healthy: () => bus.ready() && accountant.isOpen(),
    ...(tls && { tls: readTls(tls) }),
  });
  const metrics = config.metrics && (await serveMetrics(config.metrics.address, telemetry));

  return {
    drain: async () => {
      await server.drain();
      await accountant.drain();
    },
    close: async () => {
      await server.close();
      await metrics?.close();
      await accountant.close();
      await bus.close();
      await telemetry.shutdown();
    },
  };
});
