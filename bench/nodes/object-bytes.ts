import { createHash } from 'node:crypto';

// Flower's object layout (PROTOCOL §3.1): "<Type> <child,child…> <body length>\0<body>"; the id is the SHA-256 of it all.

export interface FlowerObject {
  id: string;
  /** The object's bytes in order; big bodies are shared, so they are never joined. */
  pieces: Uint8Array[];
}

export interface ObjectHead {
  type: string;
  children: string[];
  bodyStart: number;
}

export const objectHeader = (type: string, children: string[], bodyLength: number): Buffer =>
  Buffer.from(`${type} ${[...new Set(children)].join(',')} ${bodyLength}\0`);

export function makeObject(type: string, children: string[], body: Uint8Array): FlowerObject {
  const pieces = [objectHeader(type, children, body.length), body];
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return { id: hash.digest('hex'), pieces };
}

export function readObjectHead(bytes: Buffer): ObjectHead {
  const end = bytes.indexOf(0);
  const [type, children] = bytes.toString('utf8', 0, end).split(' ');
  return { type: type ?? '', children: children ? children.split(',') : [], bodyStart: end + 1 };
}

/** Python's spacing, so that ids are those a stock node would make. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (value !== null && typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, item]) => `${JSON.stringify(key)}: ${pythonJson(item)}`)
      .join(', ')}}`;
  }
  return JSON.stringify(value);
}
