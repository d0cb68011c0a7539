import { createServer } from 'node:net';
import { CommandError } from '../command-error.ts';
import { type Address, formatAddress } from '../connection.ts';

/** Asks before anything is started, so that the refusal is one line and nothing has to be undone. */
export async function demandFreePort({ host, port }: Address): Promise<void> {
  const probe = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  probe.once('error', reject);
  probe.listen({ host, port, exclusive: true }, resolve);
  try {
    await promise;
    await new Promise((closed) => probe.close(closed));
  } catch (cause) {
    throw listenFailure({ host, port }, cause);
  }
}

/** Ports that nobody uses just now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    probes.map(async (probe) => {
      await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve));
      return (probe.address() as { port: number }).port;
    }),
  );
  await Promise.all(probes.map((probe) => new Promise((closed) => probe.close(closed))));
  return ports;
}

export function listenFailure(address: Address, cause: unknown): unknown {
  const where = formatAddress(address);
  switch ((cause as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE':
      return new CommandError('PORT_IN_USE', `Another program listens on ${where} already.`, {
        todo: 'Choose another port with --port N (0: any free one), or end the other program.',
        cause,
      });
    case 'EACCES':
      return new CommandError('PORT_FORBIDDEN', `This user may not listen on ${where}.`, {
        todo: 'Choose a port above 1023 with --port N.',
        cause,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CommandError('ADDRESS_NOT_HERE', `${address.host} is not an address of this machine.`, {
        todo: 'Choose one with --host (0.0.0.0: all of them).',
        cause,
      });
    default:
      return cause;
  }
}
