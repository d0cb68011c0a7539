// The issuer as a process of its own: node services/issuer/src/main.ts --config FILE
import { serveGrpc, serviceProcess } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startIssuer } from './index.ts';

await serviceProcess('issuer', processConfig, async ({ config, log, telemetry, readyWhen }) => {
  const issuer = startIssuer(config.issuer, { telemetry, log });
  const server = await serveGrpc({
    ...config.listen,
    services: issuer.services,
    log,
    telemetry,
    healthy: () => true,
  });
  readyWhen(() => true);
  return {
    drain: () => server.drain(),
    close: async () => {
      await server.close();
      issuer.close();
    },
  };
});
