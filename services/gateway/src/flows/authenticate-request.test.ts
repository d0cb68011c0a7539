import { createSecretKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { memoryGateway } from '../testing/memory-gateway.ts';
import { openAdmission } from '../testing/open-admission.ts';
import { authenticateRequest, restClaim } from './authenticate-request.ts';
import { RestKeys } from './rest-keys.ts';
import { UnknownNodes } from './unknown-nodes.ts';

it('asks the store about node ids that nobody knows, but not as often as somebody makes them up', async () => {
  const { gateway: memory, clock } = await memoryGateway();
  const restKeys = new RestKeys(createSecretKey('01'.repeat(32), 'hex'));
  const gateway = { ...memory, restKeys, unknownNodes: new UnknownNodes({ perSecond: 1, burst: 3 }) };
  const byKey = gateway.nodes.byKey.bind(gateway.nodes);
  let asked = 0;
  gateway.nodes.byKey = (fingerprint, ask = true) => {
    if (ask) asked += 1;
    return byKey(fingerprint, ask);
  };
  const call = async (nodeId: bigint) => {
    const nonce = restKeys.nonce(clock.now(), Buffer.alloc(16));
    const request = {
      nodeId,
      nonce,
      method: 'GET',
      target: '/',
      bodyHash: '',
      signature: '0'.repeat(64),
      connection: {},
    };
    await expect(authenticateRequest(gateway, request)).rejects.toMatchObject({ code: 'REST_SIGNATURE' });
  };
  for (let nodeId = 10n; nodeId < 30n; nodeId += 1n) await call(nodeId);
  expect(asked).toBe(3);
  await clock.advance(1_000);
  for (let nodeId = 30n; nodeId < 40n; nodeId += 1n) await call(nodeId);
  expect(asked).toBe(4);
});

it('takes a caller with a nonce that is none for a stranger', async () => {
  const { gateway: memory, clock } = await memoryGateway();
  const restKeys = new RestKeys(createSecretKey('01'.repeat(32), 'hex'));
  const admission = openAdmission(clock);
  const caller = { address: '192.0.2.1', connection: {}, claims: restClaim(7n) };
  admission.begins(caller.address, caller.connection);
  admission.proved(caller.connection, caller.claims, 'node 7');
  const request = { nodeId: 7n, nonce: 'none', method: 'GET', target: '/', bodyHash: '', signature: '0'.repeat(64) };
  const call = authenticateRequest({ ...memory, restKeys, admission }, { ...request, connection: caller.connection });
  await expect(call).rejects.toMatchObject({ code: 'REST_NONCE' });
  expect(admission.arrives('rest', caller)).toBe(null);
});
