import { lookup } from 'node:dns/promises';
import { connect, isIP } from 'node:net';
import { type Check, errorCode, errorText, Finding, within } from './step.ts';

export const checkDns: Check = async (patient) => {
  if (isIP(patient.host) !== 0) return `${patient.host} is an address already`;
  const late = new Finding(`looking up ${patient.host} takes too long`, 'Check the DNS servers of this machine.');
  const addresses = await within(patient, late, () => lookup(patient.host, { all: true })).catch((error) => {
    if (error instanceof Finding) throw error;
    throw new Finding(
      `the name ${patient.host} does not resolve (${errorCode(error)})`,
      'Check the spelling, and the DNS servers of this machine.',
    );
  });
  return addresses.map(({ address }) => address).join(', ');
};

const tcpAdvice: Record<string, string> = {
  ECONNREFUSED:
    'Nothing listens there: check the port, and that the server runs (`aegis up`) and listens on this address.',
  EHOSTUNREACH: 'There is no route to that machine: check the network and the address.',
  ENETUNREACH: 'There is no route to that network: check the address.',
  ECONNRESET: 'Something in between closes the connection: check proxies and firewalls.',
};

export const checkTcp: Check = async (patient) => {
  const where = `${patient.host}:${patient.port}`;
  const late = new Finding(
    `${where} does not answer`,
    'A firewall may drop the packets: open the port for this machine.',
  );
  return await within(patient, late, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const socket = connect({ host: patient.host, port: patient.port });
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    socket.once('error', (error) => {
      const advice = tcpAdvice[errorCode(error)] ?? 'Check the address, and firewalls in between.';
      reject(new Finding(`cannot connect to ${where} (${errorCode(error) || errorText(error)})`, advice));
    });
    socket.once('connect', () => {
      const { remoteAddress } = socket;
      socket.destroy();
      resolve(`connected to ${remoteAddress} port ${patient.port}`);
    });
    return promise;
  });
};
