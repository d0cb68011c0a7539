// Readers of ZIP archives differ in where they look for the directory when there is something before, between or behind its parts: one file is
// two archives then. What writers write has none of that.

/** The longest end there is: of a ZIP64 archive, without a comment. */
export const ZIP_END_BYTES = 22 + 20 + 56;

/** Version of the format that a reader must know at most: 6.3. Python's refuses newer ones. */
export const ZIP_NEWEST = 63;

const END = 0x06054b50;
const LOCATOR = 0x07064b50;
const END_64 = 0x06064b50;

/**
 * What is wrong with the end of an archive of `bytes` bytes, in words; null: its directory is where every reader looks for it. `tail` are its last
 * bytes, ZIP_END_BYTES or all there are. PKWARE APPNOTE 4.3.14 to 4.3.16.
 */
export const zipEndFault = (tail: Buffer, bytes: number): string | null => {
  const at = tail.byteLength - 22;
  if (at < 0 || tail.readUInt32LE(at) !== END) return 'it does not end with the end of its directory';
  if (tail.readUInt32LE(at + 4) !== 0) return 'it is a part of several';
  const [here, all] = [tail.readUInt16LE(at + 8), tail.readUInt16LE(at + 10)];
  const [size, offset] = [tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)];
  if (here !== all) return 'it is a part of several';
  const isLarge = all === 0xffff || size === 0xffffffff || offset === 0xffffffff;
  if (!isLarge) return offset + size === bytes - 22 ? null : 'its directory is not where it says';
  const from = at - 20 - 56;
  const isWhole = from >= 0 && tail.readUInt32LE(at - 20) === LOCATOR && tail.readUInt32LE(from) === END_64;
  if (!isWhole) return 'the end of its large directory is not where it says';
  const begin = BigInt(bytes - 22 - 20 - 56);
  const told = tail.readBigUInt64LE(at - 12);
  const [size64, offset64] = [tail.readBigUInt64LE(from + 40), tail.readBigUInt64LE(from + 48)];
  return told === begin && offset64 + size64 === begin ? null : 'its directory is not where it says';
};
