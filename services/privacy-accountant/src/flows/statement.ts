import { createHash, createPublicKey, sign } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { adaptiveBalance, type EpsilonReport } from '../domain/balance.ts';
import { claimOf, statementOf } from '../domain/statement.ts';
import type { Ground } from './ground.ts';

export const PAYLOAD_TYPE = 'application/vnd.aegis.privacy-statement+json';

/** A DSSE envelope with one signature. */
export interface SignedStatement {
  readonly payload: Buffer;
  readonly signature: Buffer;
  /** SHA-256 of the public key's DER. */
  readonly keyId: string;
  readonly publicKey: string;
}

/** What may be claimed of a run, or of it up to one of its models (`null`: as it stands, open reservations counted). */
export async function statement(ground: Ground, runId: bigint, modelId: string | null): Promise<SignedStatement> {
  const { ledger, accounting, clock } = ground;
  const { claim, position } = await ledger.read((book, position) => {
    const run = book.runs.get(runId);
    const claim = run === undefined ? null : claimOf(book, run, modelId);
    if (claim === null)
      throw new AegisError('PRIVACY_NOTHING_SPENT', `Run ${runId}${modelId === null ? '' : `, model ${modelId}`}.`);
    return { claim, position };
  });
  const { run, events } = claim;
  const { budget, policy } = run;
  // A schedule fixed ahead composes as tightly as is known; what adapts is claimed by the filter that kept it.
  const report: EpsilonReport =
    policy.schedule === null
      ? {
          ...adaptiveBalance({ ...run, account: run.account && { ...run.account, charges: events } }, accounting),
          lower: 0,
        }
      : await accounting.epsilonOf(events, budget.delta);
  const content = statementOf(claim, report, { sequence: position.entries, head: position.head, at: clock.now() });
  return signed(ground, Buffer.from(JSON.stringify(content), 'utf8'));
}

function signed({ signer }: Ground, payload: Buffer): SignedStatement {
  const publicKey = createPublicKey(signer);
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return {
    payload,
    signature: sign(null, preAuthenticationEncoding(payload), signer),
    keyId: createHash('sha256').update(der).digest('hex'),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

/** DSSE v1: type and payload, each with its length in bytes, so that one cannot be read as the other. */
export const preAuthenticationEncoding = (payload: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(PAYLOAD_TYPE)} ${PAYLOAD_TYPE} ${payload.length} `, 'utf8'),
    payload,
  ]);
