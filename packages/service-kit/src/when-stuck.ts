import { type Client, connectivityState } from '@grpc/grpc-js';

/**
 * grpc-js waits for a connection as long as the kernel does: two minutes for an address that nobody has any more, a quarter of an hour for a peer that is
 * silent in the handshake. Calls wait with it, or fail, though the name has long had another address. Keepalive only guards connections that stand.
 */
export const whenStuck = (
  client: Client,
  { waitMs, connected, stuck }: { waitMs: number; connected: () => void; stuck: () => void },
): void => {
  const channel = client.getChannel();
  let timer: NodeJS.Timeout | undefined;
  const follow = (): void => {
    const state = channel.getConnectivityState(false);
    // After a first failure grpc-js says TRANSIENT_FAILURE while it connects again.
    if (state === connectivityState.CONNECTING || state === connectivityState.TRANSIENT_FAILURE) {
      timer ??= setTimeout(stuck, waitMs).unref();
    } else {
      clearTimeout(timer);
      timer = undefined;
    }
    if (state === connectivityState.READY) connected();
    if (state !== connectivityState.SHUTDOWN) channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, follow);
  };
  follow();
};
