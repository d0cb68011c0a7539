// Documents as text: JSON, with what JSON lacks under one-key tags. Adding a field is compatible; a change that is not gets
// the next schema number.
const SCHEMA = 1;

export const encodeDocument = (value: unknown): Buffer => Buffer.from(JSON.stringify({ schema: SCHEMA, value }, tag));

export function decodeDocument<T>(bytes: Uint8Array): T {
  const document = JSON.parse(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'),
    untag,
  ) as {
    schema: number;
    value: T;
  };
  if (document.schema !== SCHEMA)
    throw new Error(`a document has schema ${document.schema}, this release reads ${SCHEMA}`);
  return document.value;
}

function tag(this: Record<string, unknown>, key: string, plain: unknown): unknown {
  // the value before toJSON: a Buffer would come as a list of numbers
  const value = this[key];
  if (typeof value === 'bigint') return { $int: String(value) };
  if (typeof value === 'number' && !Number.isFinite(value)) return { $real: String(value) };
  if (value instanceof Uint8Array) {
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  }
  if (value instanceof Map) return { $map: [...value] };
  return plain;
}

function untag(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('$int' in value) return BigInt(value.$int as string);
  if ('$real' in value) return Number(value.$real);
  if ('$bytes' in value) return Buffer.from(value.$bytes as string, 'base64');
  if ('$map' in value) return new Map(value.$map as [unknown, unknown][]);
  return value;
}
