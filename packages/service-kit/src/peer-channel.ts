import { failoverChannel } from './failover-channel.ts';
import { grpcChannel } from './grpc-channel.ts';
import type { PeerConfig, StandbyPeerConfig } from './process-config.ts';
import type { ServiceChannel } from './service.ts';
import type { Telemetry } from './telemetry.ts';

/** The way to another service, as a service's file has it. */
export const peerChannel = (peer: PeerConfig, telemetry: Telemetry): ServiceChannel =>
  grpcChannel({
    ...{ address: peer.address, insecure: peer.insecure, serverName: peer['server-name'], telemetry },
    tls: peer.tls,
  });

/** The same to a service of which one process answers and the others stand by. */
export const standbyChannel = ({ address, ...way }: StandbyPeerConfig, telemetry: Telemetry): ServiceChannel => {
  const [first, ...others] = address.map((one) => peerChannel({ ...way, address: one }, telemetry));
  return failoverChannel([first as ServiceChannel, ...others]);
};
