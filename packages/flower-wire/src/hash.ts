// SHA-256 for object ids, in the native core: lower-case hex over the pieces, one after the other.
import { sha256HexSync, sha256Hex as sha256HexThreaded } from '@aegis/core-native';

export { sha256HexSync };

/** Hashing so much takes less time than the way to another thread and back. */
const AT_ONCE_BYTES = 4096;

/** Off the event loop, unless it is over before it would get there. */
export const sha256Hex = async (pieces: Uint8Array[]): Promise<string> => {
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return bytes > AT_ONCE_BYTES ? sha256HexThreaded(pieces) : sha256HexSync(pieces);
};
