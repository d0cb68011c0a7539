// The issuer as a process of its own: node services/issuer/src/main.ts --config FILE
import { readTls, serveGrpc, serviceProcess } from '@aegis/service-kit';
import { processConfig } from './config.ts';
import { startIssuer } from './index.ts';

await serviceProcess('issuer', processConfig, async ({ config, log, telemetry, readyWhen }) => {
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
  readyWhen(() => true);
  return {
    drain: () => server.drain(),
    close: async () => {
      await server.close();
      issuer.close();
    },
  };
});
