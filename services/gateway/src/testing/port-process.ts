// A TLS port in a process of its own, to be killed: prints its number. Arguments: certificate, key, milliseconds for a handshake, and
// "reset" when connections shall be reset until their handshake is over.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { resetOnClose } from '@aegis/core-native';
import { listenOnePort } from '@aegis/flower-wire';
import { Server } from '@grpc/grpc-js';

const [cert, key, handshakeMs, reset] = process.argv.slice(2);
const body = Buffer.alloc(32 * 2 ** 20, 'a');
const http = createServer((_, response) => response.setHeader('connection', 'close').end(body));
const port = await listenOnePort({
  ...{ host: '127.0.0.1', port: 0, http, grpc: new Server() },
  tls: { cert: readFileSync(cert as string), key: readFileSync(key as string) },
  limits: { handshakeMs: Number(handshakeMs) },
  ...(reset === 'reset' && { resetOnClose }),
});
console.log(port.address.port);
