// The secagg service as a process of its own: node services/secagg/src/main.ts --config FILE
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
import { startSecagg } from './index.ts';

const log = createLogger({ name: 'secagg' });

await runService(log, async () => {
  const { config: file } = parseArgs({ options: { config: { type: 'string' } } }).values;
  if (file === undefined) throw new AegisError('CONFIG_INVALID', 'Say which: --config FILE');
  const config = loadConfig(file, processConfig);
  const own = createLogger({ name: 'secagg', level: config.log.level });
  const telemetry = createTelemetry({ service: 'aegis-secagg', version: '0.1.0' });

  const { servers, user, 'password-file': password, tls: natsTls, replicas } = config.nats;
  const bus = await connectBus({
    servers,
    name: 'secagg',
    replicas,
    log: own,
    telemetry,
    ...(user !== undefined && password !== undefined && { credentials: { user, password } }),
    ...(natsTls && { tls: readTls(natsTls) }),
  });
  const { address, tls, insecure, callers } = config.listen;
  const secagg = await startSecagg(config.secagg, { bus, telemetry, log: own });

  const server = await serveGrpc({
    address,
    insecure,
    callers,
    services: secagg.services,
    log: own,
    telemetry,
    healthy: () => bus.ready(),
    ...(tls && { tls: readTls(tls) }),
  });
  const metrics = config.metrics && (await serveMetrics(config.metrics.address, telemetry));

  return {
    drain: async () => {
      // First of all who waits, so that no call is under way for long.
      await secagg.drain();
      await server.drain();
    },
    close: async () => {
      await server.close();
      await metrics?.close();
      await bus.close();
      await telemetry.shutdown();
    },
  };
});
