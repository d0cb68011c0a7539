// HTTP/2 as no library would write it (RFC 9113): for tests and benches that attack.

const [DATA, HEADERS, RST_STREAM, SETTINGS, PING] = [0, 1, 3, 4, 6] as const;
const END_HEADERS = 4;
const CANCEL = 8;

const frame = (type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};

/** Literals that no table remembers (RFC 7541, 6.2.2); names and values below 127 bytes. */
const fields = (headers: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name, 'latin1'),
      Buffer.from([value.length]),
      Buffer.from(value, 'latin1'),
    ]),
  );

const CALL = { ':method': 'POST', ':scheme': 'https', ':path': '/flwr.proto.Fleet/PullMessages', ':authority': 'x' };
const HEAD = fields({ ...CALL, 'content-type': 'application/grpc', te: 'trailers' });

export const http2Frames = {
  /** The client's preface with empty settings. */
  preface: (): Buffer =>
    Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'), frame(SETTINGS, 0, 0)]),
  /** The head of a gRPC call whose body is still to come. `stream`: odd, ascending. */
  call: (stream: number): Buffer => frame(HEADERS, END_HEADERS, stream, HEAD),
  data: (stream: number, bytes: Buffer): Buffer => frame(DATA, 0, stream, bytes),
  reset: (stream: number): Buffer => {
    const code = Buffer.alloc(4);
    code.writeUInt32BE(CANCEL);
    return frame(RST_STREAM, 0, stream, code);
  },
  ping: (): Buffer => frame(PING, 0, 0, Buffer.alloc(8)),
  settings: (): Buffer => frame(SETTINGS, 0, 0),
} as const;
