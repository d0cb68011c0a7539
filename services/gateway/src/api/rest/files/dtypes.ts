/** The types that a safetensors file can have, by its name and by numpy's. numpy says bfloat16 as a record of two bytes; models call it by its name. */
export const DTYPES = [
  { name: 'BOOL', npy: '|b1', bytes: 1 },
  { name: 'U8', npy: '|u1', bytes: 1 },
  { name: 'I8', npy: '|i1', bytes: 1 },
  { name: 'U16', npy: '<u2', bytes: 2 },
  { name: 'I16', npy: '<i2', bytes: 2 },
  { name: 'U32', npy: '<u4', bytes: 4 },
  { name: 'I32', npy: '<i4', bytes: 4 },
  { name: 'U64', npy: '<u8', bytes: 8 },
  { name: 'I64', npy: '<i8', bytes: 8 },
  { name: 'F16', npy: '<f2', bytes: 2 },
  { name: 'BF16', npy: '<V2', bytes: 2, model: 'bfloat16' },
  { name: 'F32', npy: '<f4', bytes: 4 },
  { name: 'F64', npy: '<f8', bytes: 8 },
] as const;
