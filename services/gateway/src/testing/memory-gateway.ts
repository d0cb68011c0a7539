import { AegisError } from '@aegis/errors';
import { silentLogger } from '@aegis/service-kit';
import { FakeClock, seededRandom } from '@aegis/testkit';
import { Mailbox } from '../domain/mailbox.ts';
import { activateNode, type NodeRecord, registerNode } from '../domain/node.ts';
import { Elsewhere, type PresenceChange, Roster } from '../domain/presence.ts';
import type { Task } from '../domain/task.ts';
import { AuditTrail } from '../flows/audit-trail.ts';
import { ClientCertificates } from '../flows/client-certificates.ts';
import type { Gateway } from '../flows/gateway.ts';
import { HeldPulls } from '../flows/held-pulls.ts';
import { OpenUploads } from '../flows/open-uploads.ts';
import { ProvenKeys } from '../flows/proven-keys.ts';
import { SeenCalls } from '../flows/seen-calls.ts';
import type { UnitNames } from '../flows/unit-names.ts';
import { UnknownNodes } from '../flows/unknown-nodes.ts';
import { UsedNonces } from '../flows/used-nonces.ts';
import { accountantPeer } from '../peers/accountant.ts';
import { secaggPeer } from '../peers/secagg.ts';
import {
  MemoryAppSignatureStore,
  MemoryAuditStore,
  MemoryConsentStore,
  MemoryInvitationStore,
  MemoryNodeStore,
  MemoryUploadStore,
} from '../store/memory.ts';
import { openAdmission } from './open-admission.ts';

/** Flows on memory and a clock that stands still, with one active node of id 1. Peers record what they are told. */
export const memoryGateway = async (changes: Partial<NodeRecord> = {}, unitNames: UnitNames | null = null) => {
  const clock = new FakeClock();
  const audit = new MemoryAuditStore();
  const failed: { taskId: string; code: number; reason: string }[] = [];
  const withheld: string[] = [];
  const offered: string[] = [];
  const told: PresenceChange[] = [];
  const snapshots: PresenceChange[][] = [];
  const unused = () => Promise.reject(new AegisError('INTERNAL', 'This test has no aggregator.'));
  const gateway: Gateway = {
    settings: { enrolment: 'open', control: 'loopback', holdMs: 20_000 },
    audit: new AuditTrail({ store: audit, id: 'g1', clock, log: silentLogger, traceId: () => '' }),
    clock,
    random: seededRandom(1),
    log: silentLogger,
    observed: {
      taskOffered: () => {},
      taskWithheld: (code) => void withheld.push(code),
      partStored: () => {},
      updateJudged: () => {},
      invitationOffered: (outcome) => void offered.push(outcome),
    },
    nodes: new MemoryNodeStore(),
    invitations: new MemoryInvitationStore(),
    consents: new MemoryConsentStore(),
    uploads: new MemoryUploadStore(),
    appSignatures: new MemoryAppSignatureStore(),
    aggregator: {
      run: unused,
      app: unused,
      model: unused,
      readModel: unused,
      missingParts: unused,
      appendPart: unused,
      readPart: unused,
      submit: unused,
      failTask: async ({ taskId }, code, reason) => void failed.push({ taskId, code, reason }),
    },
    runs: {} as Gateway['runs'],
    ledger: accountantPeer(null),
    secagg: secaggPeer(null),
    issuer: null,
    tasks: { follow: async () => {}, ofNode: async () => [] },
    presence: {
      changed: (list) => void told.push(...list),
      snapshot: (list) => void snapshots.push([...list]),
      taskConfirmed: () => {},
      onAsked: () => {},
      onElsewhere: () => {},
      ask: () => {},
    },
    signatures: async () => true,
    unitNames,
    restKeys: null,
    accounts: null,
    mailbox: new Mailbox(),
    admission: openAdmission(clock),
    provenKeys: new ProvenKeys('per-call'),
    seenCalls: new SeenCalls(),
    usedNonces: new UsedNonces(clock.now()),
    unknownNodes: new UnknownNodes(),
    certificates: new ClientCertificates('off'),
    roster: new Roster(),
    elsewhere: new Elsewhere(),
    held: new HeldPulls(clock),
    openUploads: new OpenUploads(),
  };
  const registered = registerNode(
    { nodeId: 1n, publicKey: 'pem', fingerprint: 'f1', name: '', selfRegistered: true },
    clock.now(),
  );
  const node: NodeRecord = {
    ...activateNode(registered, { heartbeatSeconds: 30, flwrVersion: '', dialect: 'http' }, clock.now()),
    ...changes,
  };
  await gateway.nodes.register(node);
  const task = (taskId: string): Task => ({
    taskId,
    nodeId: node.nodeId,
    runId: 9n,
    round: 1,
    kind: 'train',
    modelId: 'm',
    config: [],
    layout: { dialect: 'message', arrayRecordKey: 'arrays', configRecordKey: 'config', weightedByKey: 'num-examples' },
    createdAt: 0,
    ttl: 1,
    groupId: '',
    traceparent: '',
    deadline: 0,
    join: false,
  });
  /** As the feed does it. */
  const give = (work: Task): void => {
    gateway.mailbox.put(work);
    gateway.held.wake(work.nodeId);
  };
  return { gateway, node, clock, failed, withheld, offered, told, snapshots, task, give };
};

/** Lets every promise that waits for nothing outside run. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
