// The issuer as a process of its own: node services/issuer/src/main.ts --config FILE
import { readTls, serveGrpc, serveMetrics, serviceProcess } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startIssuer } from './index.ts';

await serviceProcess('issuer', processConfig, async ({ config, log, telemetry }) => {
  const issuer = startIssuer(config.issuer, { telemetry, log });
  const { tls, ...listen } = config.listen;
  const server = await serveGrpc({
    ...listen,
    services: issuer.services,
    log,
    telemetry,
    healthy: () => true,
    ...(tls && { tls: readTls(tls) }),
  });
  const metrics = config.metrics && (await serveMetrics(config.metrics.address, telemetry));
  return {
    drain: () => server.drain(),
    close: async () => {
      await server.close();
      await metrics?.close();
      issuer.close();
    },
  };
});
