// SHA-256 for object ids, in the native core: lower-case hex over the pieces, one after the other.
export { sha256Hex, sha256HexSync } from '@aegis/core-native';
