/** A complete .npy file of float32 values. */
export const npyOf = (values: readonly number[]): Buffer => {
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${values.length},), }`;
  const padded = dict.padEnd(128 - 11, ' ');
  const header = Buffer.alloc(10);
  header.write('\x93NUMPY\x01\x00', 'latin1');
  header.writeUInt16LE(padded.length + 1, 8);
  return Buffer.concat([header, Buffer.from(`${padded}\n`, 'latin1'), bytesOf(values)]);
};

/** The elements alone. */
export const bytesOf = (values: readonly number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);

export const floatsOf = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.byteLength / 4 }, (_none, index) => bytes.readFloatLE(4 * index));
