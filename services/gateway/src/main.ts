// The gateway as a process of its own: node services/gateway/src/main.ts --config FILE
import { openBus } from '@aegis/bus';
import { peerChannel, serviceProcess, standbyChannel, systemClock } from '@aegis/service-kit';
import { processConfig, startGateway } from './index.ts';
import { aggregatorsChannel } from './peers/aggregators.ts';
import { RunOwners } from './peers/run-owners.ts';

await serviceProcess('gateway', processConfig, async (parts) => {
  const { config, log, telemetry } = parts;
  const bus = await openBus(config.nats, parts);
  const { address: addresses, ...way } = config.aggregator;
  const [following, draining] = [new AbortController(), new AbortController()];
  const aggregator = aggregatorsChannel({
    addresses,
    owners: await RunOwners.follow(bus, log, following.signal),
    open: (address) => peerChannel({ ...way, address }, telemetry),
    clock: systemClock,
    hurried: draining.signal,
  });
  const accountant = config.accountant && standbyChannel(config.accountant, telemetry);
  const secagg = config.secagg && peerChannel(config.secagg, telemetry);

  const issuer = config.issuer && peerChannel(config.issuer, telemetry);

  const peers = { aggregator, accountant, secagg, issuer };
  const gateway = await startGateway(config.gateway, { bus, telemetry, log, ...peers });
  parts.readyWhen(() => bus.ready());
  return {
    drain: () => {
      draining.abort();
      return gateway.drain();
    },
    close: async () => {
      await gateway.close();
      following.abort();
      await aggregator.close();
      await accountant?.close();
      await secagg?.close();
      await issuer?.close();
      await bus.close();
    },
  };
});
