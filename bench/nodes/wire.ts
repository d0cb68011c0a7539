// The two hot messages, by hand: their megabytes never pass through an object codec.

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const lengthDelimited = (field: number, body: Uint8Array): Buffer[] => [
  varint(BigInt((field << 3) | 2)),
  varint(BigInt(body.length)),
  Buffer.from(body),
];

const nodeField = (nodeId: bigint): Buffer[] => lengthDelimited(1, Buffer.concat([varint(8n), varint(nodeId)]));

/** PushObjectRequest: node, run_id, object_id, object_content (shared pieces), session_id. */
export function pushObjectRequest(
  nodeId: bigint,
  runId: bigint,
  objectId: string,
  content: Uint8Array[],
  session: string,
): Uint8Array[] {
  const contentLength = content.reduce((sum, piece) => sum + piece.length, 0);
  const head = Buffer.concat([
    ...nodeField(nodeId),
    varint(16n),
    varint(runId),
    ...lengthDelimited(3, Buffer.from(objectId)),
    varint(34n),
    varint(BigInt(contentLength)),
  ]);
  return [head, ...content, Buffer.concat(lengthDelimited(5, Buffer.from(session)))];
}

export interface PulledObject {
  found: boolean;
  available: boolean;
  content: Buffer;
}

/** PullObjectResponse: object_found, object_available, object_content (a view). */
export function pulledObject(bytes: Buffer): PulledObject {
  const answer: PulledObject = { found: false, available: false, content: Buffer.alloc(0) };
  let at = 0;
  const read = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at] as number;
      at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = read();
    const value = read();
    if (tag === 8) answer.found = value !== 0;
    else if (tag === 16) answer.available = value !== 0;
    else if (tag === 26) {
      answer.content = bytes.subarray(at, at + value);
      at += value;
    } else throw new Error(`PullObjectResponse with tag ${tag}`);
  }
  return answer;
}
