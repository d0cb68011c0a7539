// The aggregator as a process of its own: node services/aggregator/src/main.ts --config FILE
import { parseArgs } from 'node:util';
import { connectBus } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import {
  createLogger,
  createTelemetry,
  grpcChannel,
  loadConfig,
  readTls,
  runService,
  serveGrpc,
  serveMetrics,
} from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startAggregator } from './index.ts';

const log = createLogger({ name: 'aggregator' });

await runService(log, async () => {
  const { config: file } = parseArgs({ options: { config: { type: 'string' } } }).values;
  if (file === undefined) throw new AegisError('CONFIG_INVALID', 'Say which: --config FILE');
  const config = loadConfig(file, processConfig);
  const own = createLogger({ name: 'aggregator', level: config.log.level });
  const telemetry = createTelemetry({ service: 'aegis-aggregator', version: '0.1.0' });

  const { servers, user, 'password-file': password, tls: natsTls, replicas } = config.nats;
  const bus = await connectBus({
    servers,
    name: 'aggregator',
    replicas,
    log: own,
    telemetry,
    ...(user !== undefined && password !== undefined && { credentials: { user, password } }),
    ...(natsTls && { tls: readTls(natsTls) }),
  });
  const { address, advertise, tls, insecure, callers } = config.listen;
  const ledger =
    config.accountant &&
    grpcChannel({
      address: config.accountant.address,
      insecure: config.accountant.insecure,
      serverName: config.accountant['server-name'],
      telemetry,
      tls: config.accountant.tls && readTls(config.accountant.tls),
    });
  const secagg =
    config.secagg &&
    grpcChannel({
      address: config.secagg.address,
      insecure: config.secagg.insecure,
      serverName: config.secagg['server-name'],
      telemetry,
      tls: config.secagg.tls && readTls(config.secagg.tls),
    });
  const deps = { bus, telemetry, log: own, address: advertise, ledger, secagg };
  const aggregator = await startAggregator(config.aggregator, deps);

  const server = await serveGrpc({
    address,
    insecure,
    callers,
    services: aggregator.services,
    log: own,
    telemetry,
    healthy: () => bus.ready(),
    ...(tls && { tls: readTls(tls) }),
  });
  const metrics = config.metrics && (await serveMetrics(config.metrics.address, telemetry));

  return {
    drain: async () => {
      await server.drain();
      await aggregator.drain();
    },
    close: async () => {
      await server.close();
      await metrics?.close();
      await aggregator.close();
      await ledger?.close();
      await secagg?.close();
      await bus.close();
      await telemetry.shutdown();
    },
  };
});
