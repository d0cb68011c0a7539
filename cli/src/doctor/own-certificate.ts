import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { federationIdentity, subjectOf } from '@aegis/service-kit';
import { askGateway, findingOf } from './question.ts';
import { type Check, errorText, Finding, type OwnIdentity } from './step.ts';

/** What can be told from the files alone: a guard would not start with these faults, or be refused for them. */
export const checkOwnFiles: Check = async ({ own, now }) => {
  if (own === undefined) throw new Error('no certificate was given');
  const certificate = readCertificate(own);
  if (!certificate.checkPrivateKey(readKey(own))) {
    throw new Finding(
      `the key is not that of the certificate (${subjectOf(certificate)})`,
      'One of the two files was exchanged: give the key that the certificate was issued for, or renew the certificate.',
    );
  }
  if (own.isOpenToOthers)
    throw new Finding('other users of this machine can read the key', 'Type: chmod 600 KEY; the guard demands it.');
  const identity = federationIdentity(certificate.subjectAltName);
  if (identity !== null && identity.kind !== 'guard' && identity.kind !== 'node') {
    throw new Finding(
      `the certificate is not a node's: its SAN says ${identity.kind} ${identity.name}`,
      'Use one of the kind guard or node: aegis ca issue NAME --kind guard.',
    );
  }
  if (now() > certificate.validToDate.getTime())
    throw new Finding(
      `the client certificate expired on ${certificate.validTo}`,
      'Renew it: aegis ca issue NAME --kind guard --renew (a guard that was invited does it by itself); or check the clock of this machine.',
    );
  if (now() < certificate.validFromDate.getTime())
    throw new Finding(
      `the client certificate is valid only from ${certificate.validFrom}`,
      'Check the clock of this machine, and of the one that issued it.',
    );
  const name = identity === null ? subjectOf(certificate) : `${identity.kind} ${identity.name}`;
  return `${name}, fits its key, valid until ${certificate.validTo}`;
};

function readCertificate({ certificate }: OwnIdentity): X509Certificate {
  try {
    return new X509Certificate(certificate);
  } catch (cause) {
    throw new Finding(
      `there is no certificate in the file (${errorText(cause)})`,
      'Give a PEM file, as `aegis ca issue` writes it.',
    );
  }
}

function readKey({ key }: OwnIdentity): KeyObject {
  try {
    return createPrivateKey(key);
  } catch (cause) {
    throw new Finding(
      `there is no private key in the file (${errorText(cause)})`,
      'Give a PEM file, as `aegis ca issue` writes it.',
    );
  }
}

/** Would the gateway let the certificate in, or do without one? Asked with a key that nobody has: any other objection is about that key. */
export const checkClientCertificate: Check = async (patient) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const shown = patient.own !== undefined;
  const objection = await askGateway(patient, privateKey, { showsCertificate: shown });
  if (objection.code === 'NODE_KEY_UNKNOWN')
    return shown ? 'the gateway has nothing against it' : 'none given, and the gateway lets nodes in without one';
  throw findingOf(objection);
};
