// The secagg service as a process of its own: node services/secagg/src/main.ts --config FILE
import { openBus } from '@aegis/bus';
import { serveGrpc, serviceProcess } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startSecagg } from './index.ts';

await serviceProcess('secagg', processConfig, async (parts) => {
  const { config, log, telemetry } = parts;
  const bus = await openBus(config.nats, parts);
  const secagg = await startSecagg(config.secagg, { bus, telemetry, log });

  const server = await serveGrpc({
    ...config.listen,
    services: secagg.services,
    log,
    telemetry,
    healthy: () => bus.ready(),
  });
  parts.readyWhen(() => bus.ready());

  return {
    drain: async () => {
      // First of all who waits, so that no call is under way for long.
      await secagg.drain();
      await server.drain();
    },
    close: async () => {
      await server.close();
      await bus.close();
    },
  };
});
