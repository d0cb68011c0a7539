import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, DEFAULT_MAX_VERSION } from 'node:tls';
import { type Check, errorCode, errorText, Finding, type Patient, within } from './step.ts';

/** Whom to believe that they are the gateway, and by which name. */
export const serverTrust = ({ ca, host, serverName, maxVersion }: Patient): ConnectionOptions => {
  const name = serverName ?? host;
  return {
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(maxVersion === undefined ? {} : { maxVersion }),
  };
};

/** Everything one handshake shows. Trust is judged by the checks, not by the handshake. */
interface Handshake {
  version: string | null;
  alpn: string;
  fault: string;
  certificate: X509Certificate | undefined;
}

async function shakeHands(patient: Patient, options: ConnectionOptions = {}): Promise<Handshake> {
  const late = new Finding(
    'the TLS handshake does not end',
    'Check that a TLS server listens there, and no other program.',
  );
  return await within(patient, late, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Handshake>();
    const socket = connect({
      host: patient.host,
      port: patient.port,
      ...serverTrust(patient),
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      minVersion: 'TLSv1.2',
      ...options,
    });
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    socket.once('error', reject);
    socket.once('end', () => reject(new Error('the server closed the connection during the handshake')));
    socket.once('secureConnect', () => {
      resolve({
        version: socket.getProtocol(),
        alpn: socket.alpnProtocol || '',
        fault: (socket.authorizationError as unknown as string | null) ?? '',
        certificate: socket.getPeerX509Certificate(),
      });
      socket.destroy();
    });
    return promise;
  });
}

/** Of a port that does not answer in plain text. */
export const speaksTls = (patient: Patient): Promise<boolean> =>
  shakeHands(patient).then(
    () => true,
    (error: unknown) => /^ERR_SSL_TLSV1_ALERT|^ERR_SSL_SSLV3_ALERT/.test(errorCode(error)),
  );

export const checkTlsVersion: Check = async (patient) => {
  const handshake = await shakeHands(patient).catch((error) => {
    if (error instanceof Finding) throw error;
    if (
      ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG', 'ERR_SSL_HTTP_REQUEST'].includes(
        errorCode(error),
      )
    ) {
      throw new Finding(
        'the port answers, but not with TLS',
        'The server may run with --insecure (then use --insecure here too), or this is another program.',
      );
    }
    if (/alert protocol version/i.test(errorText(error))) {
      if ((patient.maxVersion ?? DEFAULT_MAX_VERSION) !== 'TLSv1.3') {
        throw new Finding(
          'this machine speaks only TLS 1.2 or older, and the server demands TLS 1.3',
          'Lift the limit of this machine (NODE_OPTIONS=--tls-max-…, its OpenSSL configuration or policy); a SuperNode needs a Python with OpenSSL 1.1.1 or newer.',
        );
      }
      throw new Finding(
        'the server speaks only TLS 1.1 or older',
        'Connect to the gateway itself, not to an old proxy.',
      );
    }
    throw new Finding(`the TLS handshake fails (${errorText(error)})`, 'Check that the gateway itself listens there.');
  });
  if (handshake.version !== 'TLSv1.3') {
    throw new Finding(
      `the server speaks ${handshake.version}, not TLS 1.3`,
      'The gateway speaks TLS 1.3 only: a proxy in between ends TLS. Pass the connection through, or raise its version.',
    );
  }
  return 'TLS 1.3';
};

const chainAdvice: Record<string, string> = {
  CERT_NOT_YET_VALID: 'Check the clock of this machine.',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'Give the certificate authority of this server with --ca.',
  SELF_SIGNED_CERT_IN_CHAIN: 'Give the certificate authority of this server with --ca.',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'Give the certificate authority of this server with --ca.',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'The server does not send the intermediate certificate, or --ca is of another authority: compare it with the ca.pem that `aegis up` prints.',
  CERT_SIGNATURE_FAILURE: 'The CA file has the right name but another key: fetch ca.pem from the server again.',
};

export const checkChain: Check = async (patient) => {
  const { fault, certificate } = await shakeHands(patient);
  if (certificate === undefined)
    throw new Finding('the server sends no certificate', 'Check the certificate of the server.');
  if (fault === 'CERT_HAS_EXPIRED') {
    throw new Finding(
      `the certificate expired on ${certificate.validTo}`,
      'Renew it on the server (`aegis certs` for the development PKI) and restart; or check the clock of this machine.',
    );
  }
  if (fault === 'CERT_NOT_YET_VALID') {
    throw new Finding(
      `the certificate is valid only from ${certificate.validFrom}`,
      'Check the clock of this machine.',
    );
  }
  if (fault !== '') {
    const advice = chainAdvice[fault] ?? 'Give the certificate authority of this server with --ca.';
    throw new Finding(`the certificate is not trusted (${fault})`, advice);
  }
  return `trusted, valid until ${certificate.validTo}`;
};

export const checkSan: Check = async (patient) => {
  const { certificate } = await shakeHands(patient);
  const wanted = patient.serverName ?? patient.host;
  const names = certificate?.subjectAltName ?? '';
  // As clients judge it: an address must be among the addresses, and the subject's common name counts for nothing.
  const named =
    isIP(wanted) === 0 ? certificate?.checkHost(wanted, { subject: 'never' }) : certificate?.checkIP(wanted);
  if (named === undefined) {
    throw new Finding(
      `the certificate is not for ${wanted}; it names ${names === '' ? 'nothing' : names}`,
      `Connect by one of these names (a guard: --server-name), or add this one on the server: aegis certs --san ${wanted}`,
    );
  }
  return names;
};

export const checkAlpn: Check = async (patient) => {
  const lacking = (protocol: string, who: string) =>
    new Finding(
      `the server does not offer ${protocol} (ALPN)`,
      `${who} need it: a proxy in between must pass ALPN through, or offer h2 and http/1.1 itself.`,
    );
  for (const [protocol, who] of [
    ['h2', 'SuperNodes up to flwr 1.39'],
    ['http/1.1', 'SuperNodes of flwr 1.40 and later'],
  ] as const) {
    const { alpn } = await shakeHands(patient, { ALPNProtocols: [protocol] }).catch((error) => {
      throw error instanceof Finding ? error : lacking(protocol, who);
    });
    if (alpn !== protocol) throw lacking(protocol, who);
  }
  return 'h2 and http/1.1';
};
