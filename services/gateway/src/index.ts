import type { Bus } from '@aegis/bus';
import { verifyEcdsa } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import {
  type Clock,
  type Logger,
  type Random,
  type ServiceChannel,
  systemClock,
  systemRandom,
  type Telemetry,
} from '@aegis/service-kit';
import { countedBy } from './api/counted.ts';
import { openPort } from './api/port.ts';
import { startTimers } from './api/timers.ts';
import {
  type GatewayConfig,
  readAuditKey,
  readClientSecret,
  readOperatorToken,
  readRestKey,
  readUnitKey,
} from './config.ts';
import type { Pressure } from './domain/admission.ts';
import { Mailbox } from './domain/mailbox.ts';
import { Elsewhere, Roster } from './domain/presence.ts';
import { Accounts } from './flows/accounts.ts';
import { Admission } from './flows/admission.ts';
import { Allowances } from './flows/allowances.ts';
import { AuditTrail } from './flows/audit-trail.ts';
import { ClientCertificates } from './flows/client-certificates.ts';
import { adoptNodes } from './flows/expire-nodes.ts';
import { followNode, followTasks } from './flows/follow-changes.ts';
import type { Gateway } from './flows/gateway.ts';
import { HeldPulls } from './flows/held-pulls.ts';
import { OpenUploads } from './flows/open-uploads.ts';
import { Operators } from './flows/operators.ts';
import { ProvenKeys } from './flows/proven-keys.ts';
import { RestKeys } from './flows/rest-keys.ts';
import { SeenCalls } from './flows/seen-calls.ts';
import { AllowanceSharing } from './flows/share-allowances.ts';
import { UnitNames } from './flows/unit-names.ts';
import { UnknownNodes } from './flows/unknown-nodes.ts';
import { UsedNonces } from './flows/used-nonces.ts';
import { Load } from './load.ts';
import { accountantPeer } from './peers/accountant.ts';
import { aggregatorPeer, runsPeer } from './peers/aggregator.ts';
import { AllowanceEvents } from './peers/allowance-events.ts';
import { OidcProvider } from './peers/identity-provider.ts';
import { issuerPeer } from './peers/issuer.ts';
import { PresenceEvents } from './peers/presence-events.ts';
import { secaggPeer } from './peers/secagg.ts';
import { BusTaskFeed } from './peers/task-feed.ts';
import { ratesOf } from './rates-config.ts';
import { DurableAppSignatureStore } from './store/durable-app-signatures.ts';
import { DurableAuditStore } from './store/durable-audit.ts';
import { DurableConsentStore } from './store/durable-consents.ts';
import { DurableInvitationStore } from './store/durable-invitations.ts';
import { DurableNodeStore } from './store/durable-nodes.ts';
import { DurableUploadStore } from './store/durable-uploads.ts';

export { type AccountsConfig, accountsConfig } from './accounts-config.ts';
export { type GatewayConfig, gatewayConfig, type ProcessConfig, processConfig } from './config.ts';

export interface GatewayDeps {
  readonly bus: Bus;
  readonly telemetry: Telemetry;
  readonly log: Logger;
  /** The way to the aggregator's Intake and Runs services. */
  readonly aggregator: ServiceChannel;
  /** The way to the accountant's LedgerReader and LedgerOperator services, where there is one. */
  readonly accountant?: ServiceChannel | undefined;
  /** The way to the secagg service's Relay, where there is one. */
  readonly secagg?: ServiceChannel | undefined;
  /** The way to the issuer of short-lived certificates, where there is one. */
  readonly issuer?: ServiceChannel | undefined;
  /** How this process fares; default: as its event loop and memory say. */
  readonly pressure?: () => Pressure;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface RunningGateway {
  readonly address: { host: string; port: number };
  /** Ends held pulls empty-handed, lets calls under way finish, then closes. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

const DRAIN_MS = 10_000;

/** Wires a gateway and opens its port. Everything it remembers is in the bus; everything else it rebuilds here. */
export const startGateway = async (config: GatewayConfig, deps: GatewayDeps): Promise<RunningGateway> => {
  const { bus, telemetry, log, clock = systemClock, random = systemRandom } = deps;
  const tokenFile = config['operator-token-file'];
  const token = tokenFile === undefined ? undefined : readOperatorToken(tokenFile);
  const operators = new Operators({ token, file: config['operators-file'] }, clock, log);
  const unitKeyFile = config['unit-key-file'];
  const unitNames = unitKeyFile === undefined ? null : new UnitNames(readUnitKey(unitKeyFile));
  const restKeyFile = config.rest ? config['rest-key-file'] : undefined;
  const restKeys = restKeyFile === undefined ? null : new RestKeys(readRestKey(restKeyFile));
  const auditKeyFile = config['audit-key-file'];
  const id = config.id ?? random.ulid(clock.now());
  const audit = new AuditTrail({
    store: auditKeyFile === undefined ? null : await DurableAuditStore.open(bus, readAuditKey(auditKeyFile)),
    ...{ id, clock, log },
    traceId: () => telemetry.traceparent()?.split('-')[1] ?? '',
  });
  // TLS asks for a list of every authority once it has one of any, and for none otherwise.
  if (deps.issuer && config.tls?.['client-crl'] === undefined)
    throw new AegisError(
      'CONFIG_INVALID',
      'issuer: needs tls.client-ca and tls.client-crl, or nobody could be shut out.',
    );
  const stopping = new AbortController();
  const { signal } = stopping;

  const nodes = await DurableNodeStore.open(bus, log, signal);
  const presence = await PresenceEvents.open(bus, id, log, signal);
  const counted = countedBy(telemetry, log, clock, audit);
  const load = new Load();
  const { limits } = config;
  const allowances = new Allowances(ratesOf(limits.rates, limits['rest-registrations-per-minute']));
  const gateway: Gateway = {
    settings: { enrolment: config.enrolment, control: config.control, holdMs: config['hold-seconds'] * 1000 },
    audit,
    clock,
    random,
    log,
    observed: counted,
    nodes,
    invitations: await DurableInvitationStore.open(bus),
    consents: await DurableConsentStore.open(bus),
    uploads: await DurableUploadStore.open(bus),
    appSignatures: await DurableAppSignatureStore.open(bus),
    aggregator: aggregatorPeer(deps.aggregator),
    runs: runsPeer(deps.aggregator),
    ledger: accountantPeer(deps.accountant ?? null),
    secagg: secaggPeer(deps.secagg ?? null),
    issuer: issuerPeer(deps.issuer ?? null),
    tasks: await BusTaskFeed.open(bus, log),
    presence,
    signatures: verifyEcdsa,
    unitNames,
    restKeys,
    accounts: config.control === 'accounts' ? accountsOf(config.accounts, { operators, audit, clock, log }) : null,
    mailbox: new Mailbox(),
    admission: new Admission({
      ...{ allowances, clock, unlimited: limits['unlimited-addresses'] },
      pressure: deps.pressure ?? (() => load.pressure()),
      limited: (what, payer) => counted.limited(what, payer),
    }),
    provenKeys: new ProvenKeys(config.signatures),
    seenCalls: new SeenCalls(),
    usedNonces: new UsedNonces(clock.now()),
    unknownNodes: new UnknownNodes(),
    certificates: new ClientCertificates(config['client-certificates']),
    roster: new Roster(),
    elsewhere: new Elsewhere(),
    held: new HeldPulls(clock),
    openUploads: new OpenUploads(),
  };

  nodes.onChange((nodeId, record) => followNode(gateway, nodeId, record));
  presence.onElsewhere((id, isSnapshot, changes) => gateway.elsewhere.hear(id, isSnapshot, changes, clock.monotonic()));
  await followTasks(gateway, signal);
  await adoptNodes(gateway);
  presence.onAsked(() => presence.snapshot(gateway.roster.snapshot()));
  presence.ask();
  const sharing = new AllowanceSharing({
    ...{ allowances, elsewhere: gateway.elsewhere, hears: () => bus.ready() },
    peer: await AllowanceEvents.open(bus, id, {
      heard: (spent) => allowances.usedElsewhere(spent, clock.monotonic()),
      ...{ log, signal },
    }),
  });
  const timers = startTimers(gateway, sharing);
  // Whatever was told while the bus was away was told to nobody.
  const offStatus = bus.onStatus((ready) => ready && presence.snapshot(gateway.roster.snapshot()));

  const stop = (): void => {
    stopping.abort();
    timers.stop();
    load.stop();
    offStatus();
  };
  try {
    const port = await openPort(config, { gateway, telemetry, counted, operators, healthy: () => bus.ready() });
    audit.noteSoon({ event: 'gateway-started', actor: 'gateway', subject: `gateway ${id}`, detail: rulesOf(config) });
    log.info({ ...port.address, enrolment: config.enrolment, tls: config.tls !== undefined }, 'gateway is up');
    return {
      address: port.address,
      drain: async () => {
        gateway.held.drain();
        await port.drain(DRAIN_MS);
      },
      close: async () => {
        gateway.held.drain();
        stop();
        await port.close();
        audit.noteSoon({ event: 'gateway-stopped', actor: 'gateway', subject: `gateway ${id}` });
        await audit.close();
      },
    };
  } catch (error) {
    stop();
    throw error;
  }
};

const accountsOf = (
  config: GatewayConfig['accounts'],
  parts: Omit<ConstructorParameters<typeof Accounts>[0], 'provider'> & { readonly clock: Clock },
): Accounts => {
  if (config === undefined) return new Accounts({ ...parts, provider: null });
  const secret = config['client-secret-file'];
  const peer = new OidcProvider(
    {
      issuer: config.issuer,
      clientId: config['client-id'],
      clientSecret: secret === undefined ? undefined : readClientSecret(secret),
      scopes: config.scopes,
      tokenSeconds: config['token-seconds'],
      skewSeconds: config['clock-skew-seconds'],
    },
    parts.clock,
    parts.log,
  );
  const rules = { rolesClaim: config['roles-claim'], roles: config.roles, nameClaim: config['name-claim'] };
  return new Accounts({ ...parts, provider: { peer, rules } });
};

/** Who may come in, and how, as this gateway was told. */
const rulesOf = ({ enrolment, control, join, rest, signatures, ...config }: GatewayConfig): string =>
  `enrolment ${enrolment}, client certificates ${config['client-certificates']}, control ${control}, join ${join}, rest ${rest}, signatures ${signatures}`;
