// The secagg service as a process of its own: node services/secagg/src/main.ts --config FILE
import { openBus } from '@aegis/bus';
import { readTls, serveGrpc, serveMetrics, serviceProcess } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startSecagg } from './index.ts';

await serviceProcess('secagg', processConfig, async (parts) => {
  const { config, log, telemetry } = parts;
  const bus = await openBus(config.nats, parts);
  const secagg = await startSecagg(config.secagg, { bus, telemetry, log });

  const { tls, ...listen } = config.listen;
  const server = await serveGrpc({
    ...listen,
    services: secagg.services,
    log,
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
    },
  };
});
