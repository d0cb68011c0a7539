// Knocks on every door between services and guards as somebody who has no business there.
import { readFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { connectBus } from '@aegis/bus';
import { RunsService } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import { grpcChannel, type TlsMaterial } from '@aegis/service-kit';
import { NativeNode } from '../../services/gateway/src/testing/native-node.ts';
import { SimulatedNode } from '../../services/gateway/src/testing/simulated-node.ts';
import { type Door, materialOf, type SeparateServices } from './services.ts';

const ANSWER_MS = 5_000;

export interface Probes {
  /** Doors that were tried. */
  readonly doors: number;
  readonly complaints: string[];
}

/** Is any door open to a caller without a certificate, with a guard's, or with one of a service that may not call there? */
export async function knockEverywhere(
  services: SeparateServices,
  guard: { readonly certificate: string; readonly key: string },
): Promise<Probes> {
  const complaints: string[] = [];
  const ca = await readFile(services.pki.ca);
  const guarded = { cert: await readFile(guard.certificate), key: await readFile(guard.key) };
  const doors = services.innerDoors;
  const service = await materialOf(services.pki, 'gateway');
  for (const door of doors) {
    const opens = (shown: Partial<TlsMaterial>) =>
      door.name === 'nats' ? natsLetsIn(services, door, { ...guarded, ca, ...shown }) : letsIn(door, { ca, ...shown });
    if (await answersPlainText(door)) complaints.push(`${door.name} answers in plain text`);
    if (!(await opens(service))) complaints.push(`${door.name} does not let in a service`);
    if (await opens(guarded)) complaints.push(`${door.name} lets in a guard`);
    if (door.name !== 'nats' && (await opens({}))) complaints.push(`${door.name} lets in who shows no certificate`);
  }
  const aggregator = doors.find(({ name }) => name === 'aggregator') as Door;
  const stranger = await materialOf(services.pki, 'nobody');
  const refusal = await refusalOf(aggregator, stranger);
  if (refusal !== 'CALLER_FORBIDDEN')
    complaints.push(`the aggregator says ${refusal} to a service that it does not know`);
  complaints.push(...(await atTheGateway(services, ca)));
  return { doors: doors.length + 1, complaints };
}

/** The one door that nodes come to: a handshake without a certificate is completed, and nothing behind it is open. */
const atTheGateway = async ({ facts }: SeparateServices, ca: Buffer): Promise<string[]> => {
  const target = { host: '127.0.0.1', port: Number(facts.address.split(':').at(-1)), ca };
  const complaints: string[] = [];
  const node = new SimulatedNode(target, 'A');
  const words = await node.start().then(
    () => 'welcome',
    (error: Error) => error.message,
  );
  node.close();
  if (!words.includes('CERTIFICATE_REQUIRED'))
    complaints.push(`the gateway says ${words} to a node without a certificate`);
  const bare = new NativeNode(target);
  const stream = bare.open();
  const code = await bare
    .hello(stream)
    .then((hello) => stream.say(hello))
    .then(() => stream.code());
  bare.close();
  if (code !== 'CERTIFICATE_REQUIRED') complaints.push(`the gateway says ${code} to a stream without a certificate`);
  return complaints;
};

/** Does a call get through? With TLS 1.3 a server that refuses the certificate says so after the handshake. */
const letsIn = (door: Door, shown: Partial<TlsMaterial>): Promise<boolean> =>
  new Promise((resolve) => {
    const options = { host: '127.0.0.1', port: door.port, servername: door.name, ALPNProtocols: ['h2'], ...shown };
    const socket: TLSSocket = connectTls(options, () => {
      // The preface of HTTP/2 and empty settings: an open door answers with its own.
      socket.write(
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('000000040000000000', 'hex')]),
      );
    });
    const end = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.setTimeout(ANSWER_MS, () => end(false));
    socket.once('data', () => end(true));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });

/** With the right password: it is the certificate that is tried. */
const natsLetsIn = ({ credentials }: SeparateServices, { port }: Door, tls: TlsMaterial): Promise<boolean> =>
  connectBus({ ...{ servers: `nats://127.0.0.1:${port}`, name: 'probe' }, credentials, tls, outageWaitMs: 300 }).then(
    async (bus) => {
      await bus.close();
      return true;
    },
    () => false,
  );

const answersPlainText = (door: Door): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connectPlain(door.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
    const end = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.setTimeout(ANSWER_MS, () => end(false));
    // NATS greets before TLS begins (INFO), and says no more than that it demands it.
    socket.once('data', (words: Buffer) => end(/^HTTP|^PRI/.test(words.toString('latin1'))));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });

const refusalOf = async ({ name, port }: Door, tls: TlsMaterial): Promise<string> => {
  const channel = grpcChannel({ address: `127.0.0.1:${port}`, tls, serverName: name });
  const query = { runId: 1n, limit: 1, skip: 0 };
  const answer = channel.client(RunsService).listRuns(query, { timeoutMs: ANSWER_MS });
  const code = await answer.then(
    () => 'welcome',
    (error: unknown) => AegisError.from(error).code,
  );
  await channel.close();
  return code;
};
