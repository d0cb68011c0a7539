import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { GetRunRequest } from '@aegis/contracts/flwr/proto/run';
import { exchange } from './http.ts';
import { errorText, Finding, type Patient } from './step.ts';

/** What the gateway objects to, in its own words. */
export interface Objection {
  readonly status: number;
  /** Of docs/errors.md; empty: the answer names none. */
  readonly code: string;
  readonly words: string;
}

/**
 * Shows the gateway a signature of a node's key with a question that changes nothing: a run that does not exist, asked
 * for under a node id that no node has. What it objects to says how far the caller got; a node that runs with the
 * same key does not notice.
 */
export async function askGateway(
  patient: Patient,
  key: KeyObject,
  { showsCertificate }: { readonly showsCertificate: boolean },
): Promise<Objection> {
  const body = Buffer.from(
    GetRunRequest.encode(GetRunRequest.fromPartial({ node: { nodeId: 1n }, runId: 1n })).finish(),
  );
  const headers = {
    'content-type': 'application/protobuf',
    accept: 'application/protobuf',
    'content-length': body.length,
    ...signedHeaders(key, patient.now()),
  };
  const request = { method: 'POST', path: '/v1/fleet/get-run', headers, body, showsCertificate } as const;
  const answer = await exchange(patient, request).catch((error) => {
    if (error instanceof Finding) throw error;
    throw new Finding(
      `the question to the gateway fails (${errorText(error)})`,
      'Look at the log of the server, and for proxies in between.',
    );
  });
  const [, code = '', words = ''] = /^(?:([A-Z][A-Z0-9_]+): )?(.*)$/s.exec(detailOf(answer.body)) ?? [];
  return { status: answer.status, code, words };
}

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

interface Explanation {
  readonly what: string;
  readonly todo: string;
}

/** What stands behind a refusal, seen from the machine of the node. */
const explanations: Readonly<Record<string, Explanation>> = {
  CERTIFICATE_REQUIRED: {
    what: 'the gateway lets no node in without a client certificate',
    todo: 'Run the SuperNode behind `aegis guard --certificate FILE --key FILE`; give the two here as well.',
  },
  CERTIFICATE_EXPIRED: {
    what: 'the gateway says that the client certificate has expired',
    todo: 'Renew it: aegis ca issue NAME --kind guard --renew. If it is still good by its dates, set the clock of the server.',
  },
  CERTIFICATE_NOT_YET_VALID: {
    what: 'the gateway says that the client certificate is not valid yet',
    todo: 'Set the clocks (NTP): of the server, and of the machine that issued the certificate.',
  },
  CERTIFICATE_REVOKED: {
    what: 'the client certificate was revoked; open connections of it are ended too',
    todo: 'Ask whoever keeps the federation authority why; only a certificate of a new name comes in again.',
  },
  CERTIFICATE_UNTRUSTED: {
    what: 'the client certificate is of an authority that the gateway does not trust',
    todo: "Use the one that this federation's authority issued; the operator names its root with --client-ca.",
  },
  CERTIFICATE_KIND: {
    what: "the client certificate is of the right authority, but not a node's by its SAN",
    todo: 'Use one of the kind guard or node: aegis ca issue NAME --kind guard.',
  },
  CERTIFICATE_BOUND: {
    what: 'the certificate and the key belong to different nodes: one of them was exchanged',
    todo: 'Start the node with the key that it first came with, or issue a certificate of another name.',
  },
  CERTIFICATE_LIST_EXPIRED: {
    what: "the gateway's list of revoked certificates is out of date, and so it lets no certificate in",
    todo: 'On the server: aegis ca revoke (without a name it writes the list anew), in place of the old file.',
  },
  CERTIFICATE_LIST_MISSING: {
    what: 'the gateway cannot tell whether the client certificate was revoked',
    todo: 'On the server: does `aegis issuer` run? Its list comes with it.',
  },
  NODE_TIMESTAMP: {
    what: 'the server refuses the timestamp of this machine',
    todo: 'Set the clocks (NTP) on both machines.',
  },
  NODE_SIGNATURE: {
    what: 'the signature does not fit the key',
    todo: 'Make a new key pair, and register it.',
  },
  NODE_REPLAYED: {
    what: 'the gateway has seen this signed timestamp before, and takes each of them once',
    todo: 'Something in between repeats calls (a proxy that tries again: turn that off), or this clock stands still.',
  },
  NODE_KEY_UNKNOWN: {
    what: 'the key is not registered here, or was removed',
    todo: 'On the server: aegis nodes approve NODE_KEY.pub (or: flwr supernode register).',
  },
  STORE_UNAVAILABLE: {
    what: 'the gateway runs, but its state store (NATS) does not answer',
    todo: 'On the server: does nats-server run, and is its disk writable? The log of the gateway names it.',
  },
};

/** The fault behind an objection. */
export function findingOf({ status, code, words }: Objection): Finding {
  const known = explanations[code];
  const detail = words === '' ? '' : ` (${code}: ${words})`;
  if (known !== undefined) return new Finding(`${known.what}${detail}`, known.todo);
  return new Finding(
    `the server cannot tell (${status} ${code}${words === '' ? '' : `: ${words}`})`,
    'Look at its log, and try again.',
  );
}
