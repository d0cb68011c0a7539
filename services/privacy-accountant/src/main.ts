// The privacy accountant as a process of its own: node services/privacy-accountant/src/main.ts --config FILE
import { openBus } from '@aegis/bus';
import { serveGrpc, serviceProcess } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startAccountant } from './index.ts';

await serviceProcess('privacy-accountant', processConfig, async (parts) => {
  const { config, log, telemetry } = parts;
  const bus = await openBus(config.nats, parts);
  const accountant = await startAccountant(config.accountant, { bus, telemetry, log });

  const server = await serveGrpc({
    ...config.listen,
    services: accountant.services,
    log,
    telemetry,
    // Of several processes the one that writes is ready; the others are asked nothing.
    healthy: () => bus.ready() && accountant.isOpen(),
  });
  // For who supervises the process; who stands by is as it should be, and says UNAVAILABLE to callers.
  parts.readyWhen(() => bus.ready() && accountant.isSettled());

  return {
    drain: async () => {
      await server.drain();
      await accountant.drain();
    },
    close: async () => {
      await server.close();
      await accountant.close();
      await bus.close();
    },
  };
});
