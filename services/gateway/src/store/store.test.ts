import { silentLogger } from '@aegis/service-kit';
import { withNats } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { registerNode } from '../domain/node.ts';
import {
  appSignatureStoreSuite,
  consentStoreSuite,
  invitationStoreSuite,
  nodeStoreSuite,
  uploadStoreSuite,
} from './conformance.ts';
import { DurableAppSignatureStore } from './durable-app-signatures.ts';
import { DurableConsentStore } from './durable-consents.ts';
import { DurableInvitationStore } from './durable-invitations.ts';
import { DurableNodeStore } from './durable-nodes.ts';
import { DurableUploadStore } from './durable-uploads.ts';
import {
  MemoryAppSignatureStore,
  MemoryConsentStore,
  MemoryInvitationStore,
  MemoryNodeStore,
  MemoryUploadStore,
} from './memory.ts';
import { decodeNode, encodeNode } from './node-codec.ts';

const nats = withNats();

nodeStoreSuite('memory', async () => {
  const store = new MemoryNodeStore();
  return { subject: { store, other: store } };
});

nodeStoreSuite('durable', async () => {
  const stopping = new AbortController();
  const open = async () => DurableNodeStore.open(await nats().connect(), silentLogger, stopping.signal);
  const [store, other] = await Promise.all([open(), open()]);
  return { subject: { store, other }, end: async () => stopping.abort() };
});

uploadStoreSuite('memory', async () => {
  const store = new MemoryUploadStore();
  return { subject: { store, other: store } };
});

uploadStoreSuite('durable', async () => {
  const open = async () => DurableUploadStore.open(await nats().connect());
  const [store, other] = await Promise.all([open(), open()]);
  return { subject: { store, other } };
});

appSignatureStoreSuite('memory', async () => {
  const store = new MemoryAppSignatureStore();
  return { subject: { store, other: store } };
});

appSignatureStoreSuite('durable', async () => {
  const open = async () => DurableAppSignatureStore.open(await nats().connect());
  const [store, other] = await Promise.all([open(), open()]);
  return { subject: { store, other } };
});

consentStoreSuite('memory', async () => {
  const store = new MemoryConsentStore();
  return { subject: { store, other: store } };
});

consentStoreSuite('durable', async () => {
  const open = async () => DurableConsentStore.open(await nats().connect());
  const [store, other] = await Promise.all([open(), open()]);
  return { subject: { store, other } };
});

invitationStoreSuite('memory', async () => {
  const store = new MemoryInvitationStore();
  return { subject: { store, other: store } };
});

invitationStoreSuite('durable', async () => {
  const open = async () => DurableInvitationStore.open(await nats().connect());
  const [store, other] = await Promise.all([open(), open()]);
  return { subject: { store, other } };
});

it('a node record from before certificates and masks is read as one without', () => {
  const record = registerNode({ nodeId: 7n, publicKey: 'p', fingerprint: 'f', name: '', selfRegistered: true }, 1);
  const { subject: _subject, canMask: _canMask, ...old } = JSON.parse(encodeNode(record).toString());
  expect(decodeNode(Buffer.from(JSON.stringify(old)))).toEqual(record);
  expect(decodeNode(encodeNode({ ...record, canMask: true })).canMask).toBe(true);
});
