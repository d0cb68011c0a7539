// node presented.ts ADDRESS:PORT…: the certificate that each of them shows to whoever connects, as JSON. Runs inside the cluster's network.
import { connect } from 'node:tls';

export interface Presented {
  readonly serial: string;
  /** Common name of who signed it. */
  readonly issuer: string;
  /** When it was issued, Unix milliseconds. */
  readonly issued: number;
}

const presentedBy = (address: string): Promise<Presented> =>
  new Promise((resolve, reject) => {
    const [host = '', port] = address.split(':');
    // Who it is from is what is asked; a service that then wants a certificate of ours too has shown its own by that time.
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      const { serialNumber, issuer, valid_from } = socket.getPeerCertificate();
      socket.destroy();
      resolve({ serial: serialNumber, issuer: String(issuer.CN), issued: Date.parse(valid_from) });
    });
    socket.setTimeout(10_000, () => socket.destroy(new Error(`${address} said nothing for 10 s`)));
    socket.on('error', reject);
  });

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(presentedBy))));
