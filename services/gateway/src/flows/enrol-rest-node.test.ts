import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { UNCLAIMED_MS } from '../domain/node.ts';
import { memoryGateway } from '../testing/memory-gateway.ts';
import { ClientCertificates } from './client-certificates.ts';
import { enrolRestNode } from './enrol-rest-node.ts';
import { forgetUnclaimed } from './forget-unclaimed.ts';
import { removeNode } from './remove-node.ts';
import { RestKeys } from './rest-keys.ts';
import { startRestNode } from './start-rest-node.ts';

const code = (code: string) => expect.objectContaining({ code });
const client = { name: 'ada', heartbeatSeconds: 300 };
const connection = {};
const subject = 'O=fed, CN=clinic';
const UNTIL = 1_900_000_000_000;

const opened = async () => {
  const memory = await memoryGateway();
  const certificates = new ClientCertificates('accept');
  certificates.belongs(connection, { subject, name: 'clinic', user: '', until: UNTIL });
  const restKeys = new RestKeys(createSecretKey('01'.repeat(32), 'hex'));
  return { ...memory, gateway: { ...memory.gateway, certificates, restKeys } };
};

describe('a REST node that registered', () => {
  it('is not there for any round until it asks for work', async () => {
    const { gateway, told } = await opened();
    const { node } = await enrolRestNode(gateway, {}, client);
    expect(told).toEqual([]);
    expect(gateway.roster.lastSeen(node.nodeId)).toBeUndefined();
    const active = await startRestNode(gateway, node);
    expect(active).toMatchObject({ activity: 'active', heartbeatSeconds: 300 });
    expect(told).toEqual([expect.objectContaining({ nodeId: node.nodeId, online: true })]);
  });

  it('and came by itself is forgotten after an hour without asking', async () => {
    const { gateway, clock } = await opened();
    const ghost = (await enrolRestNode(gateway, {}, client)).node.nodeId;
    const { node: working } = await enrolRestNode(gateway, {}, client);
    await startRestNode(gateway, working);
    const vouched = (await enrolRestNode(gateway, connection, client)).node.nodeId;
    await clock.advance(UNCLAIMED_MS - 1);
    await forgetUnclaimed(gateway);
    expect(await gateway.nodes.latest(ghost)).not.toBeNull();
    await clock.advance(1);
    await forgetUnclaimed(gateway);
    expect(await gateway.nodes.latest(ghost)).toBeNull();
    for (const nodeId of [working.nodeId, vouched, 1n]) expect(await gateway.nodes.latest(nodeId)).not.toBeNull();
  });
});

describe('a client with a certificate', () => {
  it('that registers again is the same node with a new secret, and the old one is void', async () => {
    const { gateway } = await opened();
    const first = await enrolRestNode(gateway, connection, client);
    const active = await startRestNode(gateway, first.node);
    expect(active.certificateUntil).toBe(UNTIL);
    const second = await enrolRestNode(gateway, connection, { ...client, heartbeatSeconds: 60 });
    expect(second.node).toMatchObject({ nodeId: active.nodeId, activity: 'active', heartbeatSeconds: 60 });
    expect(second.secret).not.toBe(first.secret);
    const { restSalt = '' } = (await gateway.nodes.latest(active.nodeId)) ?? {};
    expect(gateway.restKeys.secretOf(active.nodeId, restSalt)).toBe(second.secret);
  });

  it('keeps the node it had before ids followed from subjects', async () => {
    const { gateway } = await opened();
    const { node } = await enrolRestNode(gateway, {}, client);
    await gateway.nodes.change(node.nodeId, (latest) => ({ ...latest, subject, selfRegistered: false }));
    await gateway.nodes.claimSubject(subject, node.fingerprint);
    expect((await enrolRestNode(gateway, connection, client)).node.nodeId).toBe(node.nodeId);
  });

  it('comes in by asking again after a crash between the claim of its subject and its record', async () => {
    const { gateway } = await opened();
    const { nodes } = gateway;
    const register = nodes.register.bind(nodes);
    nodes.register = () => Promise.reject(new Error('killed'));
    await expect(enrolRestNode(gateway, connection, client)).rejects.toThrow('killed');
    nodes.register = register;
    const { node, secret } = await enrolRestNode(gateway, connection, client);
    expect(node).toMatchObject({ subject, activity: 'registered', selfRegistered: false });
    expect(gateway.restKeys.secretOf(node.nodeId, node.restSalt ?? '')).toBe(secret);
  });

  it('is refused for good once its node was removed, and where its subject has a key', async () => {
    const { gateway } = await opened();
    const { node } = await enrolRestNode(gateway, connection, client);
    await removeNode(gateway, node.nodeId);
    await expect(enrolRestNode(gateway, connection, client)).rejects.toThrow(code('NODE_KEY_UNKNOWN'));
    const other = await opened();
    await other.gateway.nodes.claimSubject(subject, 'f1');
    await expect(enrolRestNode(other.gateway, connection, client)).rejects.toThrow(code('CERTIFICATE_BOUND'));
  });
});
