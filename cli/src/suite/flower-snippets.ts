import type { Enrolment } from './start-suite.ts';

export interface Reach {
  readonly address: string;
  /** PEM file; null with plain text. */
  readonly ca: string | null;
}

/** The part of Flower's `$FLWR_HOME/config.toml` that makes `flwr run APP aegis` come here. */
export const flwrConfig = ({ address, ca }: Reach): string =>
  [
    '[superlink]',
    'default = "aegis"',
    '[superlink.aegis]',
    `address = ${JSON.stringify(address)}`,
    ca === null ? 'insecure = true' : `root-certificates = ${JSON.stringify(ca)}`,
    '',
  ].join('\n');

/** How a stock SuperNode comes here, in words and commands. */
export function supernodeLines(reach: Reach, enrolment: Enrolment): string[] {
  const security = reach.ca === null ? '--insecure' : `--root-certificates ${reach.ca}`;
  const command = `flower-supernode --superlink ${reach.address} ${security}`;
  const several = [
    '# several on one machine: give each a port of its own',
    '#   flwr 1.38 and later   --port 9095',
    '#   flwr 1.32 and before  --clientappio-api-address 127.0.0.1:9095',
  ];
  if (enrolment === 'open')
    return ['# any release from 1.20 on (1.40+ comes by HTTP, older ones by gRPC)', command, ...several];
  return [
    '# once per node: a key pair, and its public half approved here',
    'ssh-keygen -t ecdsa -b 384 -N "" -f node.key && aegis nodes approve node.key.pub',
    '# flwr 1.40 and later (HTTP)',
    `${command} --auth-supernode-private-key node.key`,
    '# flwr 1.39 and before (gRPC)',
    `${command} --auth-supernode-private-key node.key --auth-supernode-public-key node.key.pub`,
    ...several,
  ];
}
