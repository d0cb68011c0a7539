// The aggregator as a process of its own: node services/aggregator/src/main.ts --config FILE
import { openBus } from '@aegis/bus';
import { peerChannel, serveGrpc, serviceProcess, standbyChannel } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startAggregator } from './index.ts';

await serviceProcess('aggregator', processConfig, async (parts) => {
  const { config, log, telemetry } = parts;
  const bus = await openBus(config.nats, parts);
  const { advertise, ...listen } = config.listen;
  const ledger = config.accountant && standbyChannel(config.accountant, telemetry);
  const secagg = config.secagg && peerChannel(config.secagg, telemetry);
  const deps = { bus, telemetry, log, address: advertise, ledger, secagg };
  const aggregator = await startAggregator(config.aggregator, deps);

  const server = await serveGrpc({
    ...listen,
    services: aggregator.services,
    log,
    telemetry,
    healthy: () => bus.ready(),
  });
  parts.readyWhen(() => bus.ready());

  return {
    drain: async () => {
      await server.drain();
      await aggregator.drain();
    },
    close: async () => {
      await server.close();
      await aggregator.close();
      await ledger?.close();
      await secagg?.close();
      await bus.close();
    },
  };
});
