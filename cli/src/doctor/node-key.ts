import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { GetRunRequest } from '@aegis/contracts/flwr/proto/run';
import { readPrivateKey } from '../keys/openssh-private-key.ts';
import { exchange } from './http.ts';
import { type Check, errorText, Finding } from './step.ts';

/**
 * Shows the server a signature of the node's key with a question that changes nothing: a run that does not exist, asked
 * for under a node id that no node has. What the server objects to says how far the key got; a node that runs with the
 * same key does not notice.
 */
export const checkNodeKey: Check = async (patient) => {
  const key = readPrivateKey(patient.nodeKey ?? '');
  const body = Buffer.from(
    GetRunRequest.encode(GetRunRequest.fromPartial({ node: { nodeId: 1n }, runId: 1n })).finish(),
  );
  const headers = {
    'content-type': 'application/protobuf',
    accept: 'application/protobuf',
    'content-length': body.length,
    ...signedHeaders(key, patient.now()),
  };
  const answer = await exchange(patient, 'POST', '/v1/fleet/get-run', headers, body).catch((error) => {
    if (error instanceof Finding) throw error;
    throw new Finding(`the question about the key fails (${errorText(error)})`, 'Look at the log of the server.');
  });
  return judge(answer.status, detailOf(answer.body));
};

function signedHeaders(key: KeyObject, now: number): Record<string, string> {
  const timestamp = new Date(now).toISOString().replace('Z', '000+00:00');
  const pem = createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString();
  return {
    'flwr-public-key': Buffer.from(pem).toString('base64'),
    'flwr-timestamp': timestamp,
    'flwr-signature': sign('sha256', Buffer.from(timestamp), key).toString('base64'),
  };
}

function detailOf(body: Buffer): string {
  try {
    return String((JSON.parse(body.toString('utf8')) as { detail?: unknown }).detail ?? '');
  } catch {
    return '';
  }
}

function judge(status: number, detail: string): string {
  if (status >= 500)
    throw new Finding(`the server cannot tell (${status} ${detail})`, 'Look at its log, and try again.');
  if (status !== 401 || detail.startsWith('NODE_IDENTITY')) return 'the key is registered, and its signature is right';
  if (detail.startsWith('NODE_TIMESTAMP')) {
    throw new Finding('the server refuses the timestamp of this machine', 'Set the clocks (NTP) on both machines.');
  }
  if (detail.startsWith('NODE_SIGNATURE')) {
    throw new Finding('the signature does not fit the key', 'Make a new key pair, and register it.');
  }
  throw new Finding(
    'the key is not registered here, or was removed',
    'On the server: aegis nodes approve NODE_KEY.pub (or: flwr supernode register).',
  );
}
