// A process of attackers; the bench starts it and speaks to it over IPC (protocol.ts).
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext, connect as tlsConnect } from 'node:tls';
import { ActivateNodeRequest, RegisterNodeFleetRequest } from '@aegis/contracts/flwr/proto/fleet';
import { HttpTransport } from '../nodes/http-transport.ts';
import { Opener } from '../nodes/opener.ts';
import { type Credential, Signer } from '../nodes/signer.ts';
import { ATTACKS, type Attacker } from './kinds.ts';
import type { AttackOptions, AttackReport, FromAttackers, ToAttackers } from './protocol.ts';

/** After a connection ended; a flood that never waits would only find out how fast the kernel says no. */
const PAUSE_MS = 20;
/** Connections of one attacker that are not answered are given up. */
const CONNECT_MS = 15_000;

const tell = (message: FromAttackers): void => {
  process.send?.(message);
};
const report: AttackReport = {
  kinds: Object.fromEntries(ATTACKS.map(({ name }) => [name, { begun: 0, sent: 0 }])),
};

/** The socket once this has happened; rejects when it ends before, or nothing comes of it for long. */
const opened = <S extends Socket>(socket: S, event: string): Promise<S> =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => socket.destroy(), CONNECT_MS);
    socket.on('error', () => socket.destroy());
    socket.once(event, () => {
      clearTimeout(late);
      resolve(socket);
    });
    socket.once('close', () => {
      clearTimeout(late);
      reject(new Error('the connection ended'));
    });
  });

/** Makes an honest node and keeps one of its calls, as whoever reads along would. */
async function record({ host, port, ca }: AttackOptions): Promise<Attacker['recorded']> {
  const signer = await Signer.create();
  const publicKey = signer.publicKeyPem;
  let credential: Credential = signer.credential();
  const watched = {
    publicKeyPem: publicKey,
    credential: () => {
      credential = signer.credential();
      return credential;
    },
  };
  const transport = new HttpTransport({ host, port, localAddress: '127.0.0.1' }, new Opener(ca), watched);
  await transport.call('RegisterNode', [RegisterNodeFleetRequest.encode({ publicKey }).finish()], 10_000);
  const activate = ActivateNodeRequest.encode({ publicKey, heartbeatInterval: 30 }).finish();
  await transport.call('ActivateNode', [activate], 10_000);
  transport.close();
  return { key: publicKey, credential };
}

async function begin(options: AttackOptions): Promise<void> {
  const { host, port, ca, connections, addresses } = options;
  const secureContext = createSecureContext({ ca });
  const [recorded, signer] = [await record(options), await Signer.create()];
  const tcp = (localAddress: string): Promise<Socket> => opened(connect({ host, port, localAddress }), 'connect');
  for (let at = 0; at < connections; at += 1) {
    const attack = ATTACKS[at % ATTACKS.length] as (typeof ATTACKS)[number];
    const counts = report.kinds[attack.name] as { begun: number; sent: number };
    const localAddress = `127.0.1.${1 + (at % addresses)}`;
    const attacker: Attacker = {
      ...{ signer, recorded },
      tcp: () => tcp(localAddress),
      tls: async (protocol) => {
        const socket = await tcp(localAddress);
        return opened(tlsConnect({ socket, secureContext, ALPNProtocols: [protocol] }), 'secureConnect');
      },
      sent: () => {
        counts.sent += 1;
      },
    };
    void (async () => {
      await sleep(Math.random() * 2_000);
      for (;;) {
        counts.begun += 1;
        await attack.run(attacker).catch(() => {});
        await sleep(PAUSE_MS * (0.5 + Math.random()));
      }
    })();
  }
  tell({ kind: 'begun' });
}

process.on('message', (message: ToAttackers) => {
  if (message.kind === 'stop') process.exit(0);
  else if (message.kind === 'report') tell({ kind: 'report', report });
  else begin(message.options).catch((error: Error) => tell({ kind: 'failed', reason: error.stack ?? error.message }));
});
process.on('disconnect', () => process.exit(0));
