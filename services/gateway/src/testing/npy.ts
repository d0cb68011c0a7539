/** A complete .npy file of float32 values. */
export const npyOf = (values: readonly number[] | Float32Array, shape: readonly number[] = [values.length]): Buffer => {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims}), }`;
  const padded = dict.padEnd(Math.ceil((10 + dict.length + 1) / 64) * 64 - 11, ' ');
  const header = Buffer.alloc(10);
  header.write('\x93NUMPY\x01\x00', 'latin1');
  header.writeUInt16LE(padded.length + 1, 8);
  const data = Float32Array.from(values);
  return Buffer.concat([header, Buffer.from(`${padded}\n`, 'latin1'), Buffer.from(data.buffer)]);
};

export const floatsOf = (npy: Buffer): number[] => {
  const at = 10 + npy.readUInt16LE(8);
  return Array.from({ length: (npy.length - at) / 4 }, (_, index) => npy.readFloatLE(at + 4 * index));
};
