import { readFileSync } from 'node:fs';
import { verifyEcdsa } from '@aegis/core-native';
import { describe, expect, it } from 'vitest';
import { sameKey } from '../domain/credential.ts';
import { registerNode } from '../domain/node.ts';
import { parsePublicKey, toPem } from '../domain/public-key.ts';
import { memoryGateway } from '../testing/memory-gateway.ts';
import { openAdmission } from '../testing/open-admission.ts';
import { authenticateNode, type Credential, claimOf, proveKey } from './authenticate-node.ts';
import { ClientCertificates } from './client-certificates.ts';
import { fingerprintOf, ProvenKeys } from './proven-keys.ts';
import { SeenCalls } from './seen-calls.ts';

interface Case {
  name: string;
  http_headers: Record<string, string>;
  request_type: string;
  request_hex: string;
  age_seconds: number;
  reference: string;
}
interface Vectors {
  registered_node_id: string;
  signed_at: string;
  public_key_pem: string;
  cases: Case[];
}
const vectors = JSON.parse(
  readFileSync(new URL('../../../../tests/vectors/node_auth.json', import.meta.url), 'utf8'),
) as Vectors;

const bytesOf = (base64: string | undefined): Buffer => Buffer.from(base64 ?? '', 'base64');
const keyOf = ({ http_headers }: Case): Buffer => bytesOf(http_headers['flwr-public-key']);
const credentialOf = ({ http_headers }: Case): Credential => ({
  publicKeyPem: bytesOf(http_headers['flwr-public-key']),
  timestamp: http_headers['flwr-timestamp'] ?? '',
  signature: bytesOf(http_headers['flwr-signature']),
  dialect: 'http',
  flwrVersion: '',
  connection: {},
  isForwarded: () => false,
});

/** The protobuf of the vectors' requests is tiny: a node id as a varint at the end, or a key in field 1. */
const claimedId = (hex: string): bigint => {
  const bytes = Buffer.from(hex, 'hex');
  const start = bytes[0] === 0x0a ? 3 : 1;
  return bytes.subarray(start).reduceRight((id, byte) => (id << 7n) | BigInt(byte & 0x7f), 0n);
};

describe('who does not hold the key', () => {
  it('is told the same whether the key is known or not, and whichever node it is said to be', async () => {
    const { gateway, clock } = await memoryGateway();
    const good = vectors.cases.find(({ reference }) => reference === 'accepted') ?? expect.fail('no good case');
    await clock.advance(Date.parse(`${vectors.signed_at.slice(0, 19)}Z`) + good.age_seconds * 1000 - clock.now());
    const credential = { ...credentialOf(good), signature: Buffer.from('forged') };
    const parts = {
      clock,
      nodes: gateway.nodes,
      signatures: verifyEcdsa,
      provenKeys: new ProvenKeys('per-call'),
      seenCalls: new SeenCalls(),
      admission: openAdmission(clock),
      certificates: new ClientCertificates('off'),
    };
    const refusals = async () =>
      Promise.all([7n, 8n, null].map((id) => authenticateNode(parts, credential, id).catch((error: unknown) => error)));
    const unknown = await refusals();
    const spki = parsePublicKey(credential.publicKeyPem.toString());
    const key = { publicKey: toPem(spki), fingerprint: fingerprintOf(spki), name: '', selfRegistered: true };
    await gateway.nodes.register(registerNode({ ...key, nodeId: 7n }, 0));
    for (const refusal of [...unknown, ...(await refusals())])
      expect(refusal).toMatchObject({ code: 'NODE_SIGNATURE' });
  });

  it('is a stranger from then on, also with a time of long ago, which needs no signature', async () => {
    const { gateway, clock } = await memoryGateway();
    const good = vectors.cases.find(({ reference }) => reference === 'accepted') ?? expect.fail('no good case');
    const admission = openAdmission(clock);
    const caller = { address: '192.0.2.1', connection: {}, claims: claimOf(keyOf(good)) };
    admission.begins(caller.address, caller.connection);
    admission.proved(caller.connection, caller.claims, 'node 7');
    await clock.advance(10 ** 13 - clock.now());
    const credential = { ...credentialOf(good), connection: caller.connection };
    await expect(authenticateNode({ ...gateway, admission }, credential, 7n)).rejects.toMatchObject({
      code: 'NODE_TIMESTAMP',
    });
    expect(admission.arrives('calls', caller)).toBe(null);
  });
});

describe("Flower's own verdicts on node authentication", () => {
  it.each(vectors.cases)('$name: $reference', async (vector) => {
    const { gateway, clock } = await memoryGateway();
    const at = Date.parse(`${vectors.signed_at.slice(0, 19)}Z`) + 932.108;
    await clock.advance(at + vector.age_seconds * 1000 - clock.now());
    const nodeId = BigInt(vectors.registered_node_id);
    const p256 = vectors.cases.find(({ name }) => name === 'good_p256');
    for (const [index, pem] of [vectors.public_key_pem, p256 ? keyOf(p256).toString() : ''].entries()) {
      const spki = parsePublicKey(pem);
      const key = { publicKey: toPem(spki), fingerprint: fingerprintOf(spki), name: '', selfRegistered: true };
      // The store keeps one key per node; the vectors' second key stands for the same node under another id.
      await gateway.nodes.register(registerNode({ ...key, nodeId: nodeId + BigInt(index) }, 0));
    }
    const parts = {
      clock,
      nodes: gateway.nodes,
      signatures: verifyEcdsa,
      provenKeys: new ProvenKeys('per-call'),
      seenCalls: new SeenCalls(),
      admission: openAdmission(clock),
      certificates: new ClientCertificates('off'),
    };
    const credential = credentialOf(vector);
    const registers = vector.request_type === 'RegisterNodeFleetRequest';
    const attempt = async (): Promise<void> => {
      if (registers) {
        sameKey(Buffer.from(vector.request_hex, 'hex').subarray(3), credential.publicKeyPem);
        await proveKey(parts, credential);
      } else {
        const claimed = claimedId(vector.request_hex) + (vector.name === 'good_p256' ? 1n : 0n);
        await authenticateNode(parts, credential, claimed);
      }
    };
    if (vector.reference === 'accepted') {
      await expect(attempt()).resolves.toBeUndefined();
      // Flower's server takes the same headers again and again; stock nodes sign every call anew.
      await expect(attempt()).rejects.toMatchObject({ code: 'NODE_REPLAYED' });
    } else await expect(attempt()).rejects.toMatchObject({ entry: { kind: 'unauthenticated' } });
  });
});
