/** The head of a .npy file, version 1.0 of the format (numpy.lib.format), padded to a multiple of 64. `descr`: the element type as numpy writes it. */
export const npyHead = (descr: string, shape: readonly number[]): Buffer => {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dimensions}), }`;
  const padded = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(padded);
  return Buffer.concat([
    Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
    length,
    Buffer.from(`${text.padEnd(padded - 1)}\n`),
  ]);
};
