// The one thing about a TCP connection that Node does not let its owner say.
import type { Socket } from 'node:net';
import { binding } from './binding.ts';
import { calling } from './core-error.ts';

/**
 * From now on the end of this socket, also by the death of the process, is a reset (`on`) or an ordinary end. What was not sent yet is
 * lost in a reset. Does nothing on a closed socket, and where the system does not know it (it is Linux that does).
 */
export function resetOnClose(socket: Socket, on: boolean): void {
  const fd = (socket as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd !== undefined && fd >= 0) calling(() => binding.resetOnClose(fd, on));
}
