import { createSecretKey } from 'node:crypto';
import { noTelemetry, silentLogger } from '@aegis/service-kit';
import { seededRandom } from '@aegis/testkit';
import { FlowerFleet } from '../../services/gateway/src/api/flower/fleet.ts';
import { startTimers } from '../../services/gateway/src/api/timers.ts';
import { Mailbox } from '../../services/gateway/src/domain/mailbox.ts';
import { Elsewhere, Roster } from '../../services/gateway/src/domain/presence.ts';
import type { Task } from '../../services/gateway/src/domain/task.ts';
import { AuditTrail } from '../../services/gateway/src/flows/audit-trail.ts';
import { ClientCertificates } from '../../services/gateway/src/flows/client-certificates.ts';
import { adoptNodes } from '../../services/gateway/src/flows/expire-nodes.ts';
import { followNode, followTasks } from '../../services/gateway/src/flows/follow-changes.ts';
import type { Gateway } from '../../services/gateway/src/flows/gateway.ts';
import { HeldPulls } from '../../services/gateway/src/flows/held-pulls.ts';
import { OpenUploads } from '../../services/gateway/src/flows/open-uploads.ts';
import { ProvenKeys } from '../../services/gateway/src/flows/proven-keys.ts';
import { SeenCalls } from '../../services/gateway/src/flows/seen-calls.ts';
import { UnitNames } from '../../services/gateway/src/flows/unit-names.ts';
import { UnknownNodes } from '../../services/gateway/src/flows/unknown-nodes.ts';
import { UsedNonces } from '../../services/gateway/src/flows/used-nonces.ts';
import { accountantPeer } from '../../services/gateway/src/peers/accountant.ts';
import { aggregatorPeer } from '../../services/gateway/src/peers/aggregator.ts';
import { aggregatorsChannel } from '../../services/gateway/src/peers/aggregators.ts';
import { PresenceEvents } from '../../services/gateway/src/peers/presence-events.ts';
import { RunOwners } from '../../services/gateway/src/peers/run-owners.ts';
import { secaggPeer } from '../../services/gateway/src/peers/secagg.ts';
import { BusTaskFeed } from '../../services/gateway/src/peers/task-feed.ts';
import { DurableAppSignatureStore } from '../../services/gateway/src/store/durable-app-signatures.ts';
import { DurableConsentStore } from '../../services/gateway/src/store/durable-consents.ts';
import { DurableInvitationStore } from '../../services/gateway/src/store/durable-invitations.ts';
import { DurableNodeStore } from '../../services/gateway/src/store/durable-nodes.ts';
import { DurableUploadStore } from '../../services/gateway/src/store/durable-uploads.ts';
import { openAdmission } from '../../services/gateway/src/testing/open-admission.ts';
import type { AggregatorProcess, Site } from './aggregator.ts';
import { wayTo } from './calls.ts';
import { Life } from './life.ts';

const HOLD_MS = 20_000;
/** The same at every gateway and in each of its lives, as its key file is. */
const unitNames = new UnitNames(createSecretKey(Buffer.alloc(32, 1)));
const cache = { modelBytes: 2 ** 20, messageBytes: 2 ** 20, replyBytes: 2 ** 20 };

/** The aggregators, as a gateway knows them. */
export interface Cluster {
  readonly addresses: readonly [string, ...string[]];
  at(address: string): AggregatorProcess | undefined;
}

/** One life of one gateway: everything behind its doors is real. Wired as in services/gateway/src/index.ts. */
export class GatewayProcess {
  readonly life: Life;
  /** Null until it takes calls. */
  fleet: FlowerFleet | null = null;
  gateway: Gateway | null = null;
  readonly mailbox = new WatchedMailbox();
  private readonly stopping = new AbortController();
  private stopTimers: () => void = () => {};

  constructor(site: Site, name: string, lifeNumber: number, cluster: Cluster) {
    this.life = new Life(`${name}#${lifeNumber}`, site.clock, site.onBusyLoop);
    this.life.whenDead(() => this.stopping.abort());
    this.boot(site, name, cluster).catch(() => this.life.kill());
  }

  private async boot({ nats, seed }: Site, name: string, cluster: Cluster): Promise<void> {
    const { life, mailbox } = this;
    const { signal } = this.stopping;
    const bus = nats.connect(life);
    const clock = life.time;
    const nodes = await DurableNodeStore.open(bus, silentLogger, signal);
    const presence = await PresenceEvents.open(bus, name, silentLogger, signal);
    const routes = aggregatorsChannel({
      addresses: cluster.addresses,
      owners: await RunOwners.follow(bus, silentLogger, signal),
      open: (address) => wayTo(() => cluster.at(address), life),
      clock,
    });
    const gateway: Gateway = {
      settings: { enrolment: 'open', control: 'loopback', holdMs: HOLD_MS },
      audit: new AuditTrail({ store: null, id: name, clock, log: silentLogger, traceId: () => '' }),
      clock,
      random: seededRandom(`${seed} ${life.name}`),
      log: silentLogger,
      observed: {
        ...{ taskOffered: () => {}, taskWithheld: () => {}, partStored: () => {}, updateJudged: () => {} },
        invitationOffered: () => {},
      },
      nodes,
      consents: await DurableConsentStore.open(bus),
      invitations: await DurableInvitationStore.open(bus),
      uploads: await DurableUploadStore.open(bus),
      appSignatures: await DurableAppSignatureStore.open(bus),
      aggregator: aggregatorPeer(routes),
      runs: {} as Gateway['runs'],
      ledger: accountantPeer(null),
      secagg: secaggPeer(null),
      issuer: null,
      tasks: await BusTaskFeed.open(bus, silentLogger),
      presence,
      signatures: async () => true,
      unitNames,
      mailbox,
      admission: openAdmission(clock),
      provenKeys: new ProvenKeys('per-call'),
      seenCalls: new SeenCalls(),
      restKeys: null,
      accounts: null,
      usedNonces: new UsedNonces(clock.now()),
      unknownNodes: new UnknownNodes(),
      certificates: new ClientCertificates('off'),
      roster: new Roster(),
      elsewhere: new Elsewhere(),
      held: new HeldPulls(clock),
      openUploads: new OpenUploads(),
    };
    nodes.onChange((nodeId, record) => followNode(gateway, nodeId, record));
    presence.onElsewhere((id, isSnapshot, changes) =>
      gateway.elsewhere.hear(id, isSnapshot, changes, clock.monotonic()),
    );
    await followTasks(gateway, signal);
    await adoptNodes(gateway);
    presence.onAsked(() => presence.snapshot(gateway.roster.snapshot()));
    presence.ask();
    this.stopTimers = startTimers(gateway).stop;
    bus.onStatus((ready) => {
      if (ready) presence.snapshot(gateway.roster.snapshot());
    });
    this.gateway = gateway;
    this.fleet = new FlowerFleet(gateway, noTelemetry, cache);
  }

  /** As on SIGTERM: held pulls end, then it does. */
  drain(): void {
    this.gateway?.held.drain();
    this.stopTimers();
    this.life.kill();
  }
}

/** Knows which task went out last to each node: what a node is given names no task. */
export class WatchedMailbox extends Mailbox {
  /** Tests that break the suite on purpose set it. */
  isForgetful = false;
  private readonly handedOut = new Map<bigint, string>();

  override offered(nodeId: bigint, taskId: string): void {
    super.offered(nodeId, taskId);
    this.handedOut.set(nodeId, taskId);
  }

  override settle(nodeId: bigint, taskId: string): void {
    if (this.isForgetful) this.reopen(nodeId, taskId);
    else super.settle(nodeId, taskId);
  }

  override withdraw(nodeId: bigint, taskId: string): Task | null {
    return this.isForgetful ? null : super.withdraw(nodeId, taskId);
  }

  lastOffered(nodeId: bigint): string | undefined {
    return this.handedOut.get(nodeId);
  }
}
