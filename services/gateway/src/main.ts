// The gateway as a process of its own: node services/gateway/src/main.ts --config FILE
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
  systemClock,
} from '@aegis/service-kit';
import { type ProcessConfig, processConfig, startGateway } from './index.ts';
import { aggregatorsChannel } from './peers/aggregators.ts';
import { RunOwners } from './peers/run-owners.ts';

const log = createLogger({ name: 'gateway' });

await runService(log, async () => {
  const { config: file } = parseArgs({ options: { config: { type: 'string' } } }).values;
  if (file === undefined) throw new AegisError('CONFIG_INVALID', 'Say which: --config FILE');
  const config = loadConfig(file, processConfig);
  const own = createLogger({ name: 'gateway', level: config.log.level });
  const telemetry = createTelemetry({ service: 'aegis-gateway', version: '0.1.0' });

  const { servers, user, 'password-file': password, tls: natsTls, replicas } = config.nats;
  const bus = await connectBus({
    servers,
    name: 'gateway',
    replicas,
    log: own,
    telemetry,
    ...(user !== undefined && password !== undefined && { credentials: { user, password } }),
    ...(natsTls && { tls: readTls(natsTls) }),
  });
  const { address, tls, insecure, 'server-name': serverName } = config.aggregator;
  const material = tls && readTls(tls);
  const following = new AbortController();
  const aggregator = aggregatorsChannel({
    addresses: address,
    owners: await RunOwners.follow(bus, own, following.signal),
    open: (one) => grpcChannel({ address: one, insecure, serverName, telemetry, tls: material }),
    clock: systemClock,
  });

  const wayTo = (service: NonNullable<ProcessConfig['accountant' | 'secagg']>) =>
    grpcChannel({
      address: service.address,
      insecure: service.insecure,
      serverName: service['server-name'],
      telemetry,
      tls: service.tls && readTls(service.tls),
    });
  const accountant = config.accountant && wayTo(config.accountant);
  const secagg = config.secagg && wayTo(config.secagg);

  const gateway = await startGateway(config.gateway, { bus, telemetry, log: own, aggregator, accountant, secagg });
  return {
    drain: () => gateway.drain(),
    close: async () => {
      await gateway.close();
      following.abort();
      await aggregator.close();
      await accountant?.close();
      await secagg?.close();
      await bus.close();
      await telemetry.shutdown();
    },
  };
});
