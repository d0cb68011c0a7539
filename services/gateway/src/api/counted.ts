import type { AegisError } from '@aegis/errors';
import { type Clock, counterFromZero, type Logger, type Telemetry } from '@aegis/service-kit';
import type { Attributes } from '@opentelemetry/api';
import { CALL_CLASSES, type CallClass, type Payer, PRESSURES } from '../domain/admission.ts';
import type { InvitationVerdict } from '../domain/invitation.ts';
import type { AuditTrail } from '../flows/audit-trail.ts';
import type { Gateway, Observed } from '../flows/gateway.ts';
import type { BodyBudget } from './body-budget.ts';
import { RefusalLines } from './refusal-lines.ts';

export type Door = 'http' | 'grpc' | 'node' | 'join' | 'operator' | 'port' | 'rest' | 'enrolment';

export interface RefusedAt {
  readonly path: string;
  readonly status: number | undefined;
  /** Remote address of the caller, where the door knows it. */
  readonly peer?: string | undefined;
}

export interface StreamsCounted {
  readonly nodes: { readonly size: number };
  readonly joined: { readonly size: number };
}

/** What operators see of the gateway, by number. */
export interface Counted extends Observed {
  /** A call came in; a long poll and a stream are one. */
  called(door: 'http' | 'grpc'): void;
  /** A call was put off because its payer had made too many of its class. */
  limited(what: CallClass, payer: Payer): void;
  /** A call was refused at a door, or failed behind it. */
  refused(door: Door, error: AegisError, where: RefusedAt): void;
  /** Figures that are asked for, once there is a gateway to ask. */
  watch(
    gateway: Gateway,
    port: { connections(): number },
    bodies: Pick<BodyBudget, 'bytes' | 'totalBytes'>,
    streams: StreamsCounted,
  ): void;
}

interface Refused extends RefusedAt {
  readonly code: string;
  readonly door: Door;
  readonly peer: string;
  readonly detail: string;
}

const OFFERED: readonly InvitationVerdict['outcome'][] = ['taken', 'again', 'unknown', 'used', 'expired', 'revoked'];

/** What alerts look for must be seen from its first time on. */
const REFUSALS = [
  { code: 'UNAVAILABLE', door: 'http', kind: 'unavailable' },
  { code: 'UNAVAILABLE', door: 'grpc', kind: 'unavailable' },
  { code: 'NODE_REPLAYED', door: 'http', kind: 'unavailable' },
  { code: 'NODE_REPLAYED', door: 'grpc', kind: 'unavailable' },
  { code: 'INTERNAL', door: 'http', kind: 'internal' },
  { code: 'INTERNAL', door: 'grpc', kind: 'internal' },
];

export const countedBy = (
  { meter }: Telemetry,
  log: Logger,
  clock: Pick<Clock, 'monotonic'>,
  audit: Pick<AuditTrail, 'noteSoon'>,
): Counted => {
  const counter = (name: string, description: string, series?: readonly Attributes[]) =>
    counterFromZero(meter, name, { description }, series);
  const calls = counter('aegis_gateway_calls', 'Calls that came in, by protocol', [{ door: 'http' }, { door: 'grpc' }]);
  const refusals = counter(
    'aegis_gateway_refusals',
    "Calls refused, by code, door and kind of error: unavailable and internal are ours, the rest are the caller's",
    REFUSALS,
  );
  const offered = counter('aegis_gateway_tasks_offered', 'Tasks handed to nodes');
  const withheld = counter('aegis_gateway_tasks_withheld', 'Tasks that their node must not see, by code', [
    { code: 'ANSWER_NOT_MASKED' },
  ]);
  const parts = counter('aegis_gateway_parts', 'Parts made durable');
  const partBytes = counter('aegis_gateway_part_bytes', 'Bytes of parts made durable');
  const judged = counter('aegis_gateway_updates', 'Updates handed in, by verdict', [{ verdict: 'accepted', code: '' }]);
  const invitations = counter(
    'aegis_gateway_invitations',
    'Invitations that were offered, by what became of them',
    OFFERED.map((outcome) => ({ outcome })),
  );
  const limits = counter(
    'aegis_gateway_rate_limited',
    'Calls put off because there were too many, by class and by whose allowance was used up',
    CALL_CLASSES.map((what) => ({ class: what, payer: 'address' })),
  );
  const lines = new RefusalLines<Refused>(clock);
  return {
    called: (door) => calls.add(1, { door }),
    refused: (door, error, { path, status, peer = '' }) => {
      const { kind } = error.entry;
      refusals.add(1, { code: error.code, door, kind });
      const fields = { code: error.code, door, path, status, peer, detail: error.detail };
      // Our own faults with their cause; who may not come in by address; what else others do wrong as one quiet line.
      if (kind === 'unauthenticated' || kind === 'forbidden' || error.code === 'RATE_LIMIT') {
        for (const { suppressed, ...last } of lines.of(fields)) {
          log.warn({ ...last, suppressed }, 'caller refused');
          audit.noteSoon({
            ...{ event: 'caller-refused', actor: last.peer === '' ? 'unknown address' : last.peer },
            subject: `${last.door} ${last.path}`.trim(),
            detail: suppressed === 0 ? last.code : `${last.code}, and ${suppressed} more like it`,
          });
        }
      } else if (kind === 'internal') log.error({ ...fields, err: error }, 'call failed');
      else if (kind === 'unavailable') {
        for (const { suppressed, ...last } of lines.of(fields)) {
          log.warn({ ...last, suppressed, cause: causeOf(error) }, 'call put off');
        }
      } else log.debug(fields, 'call refused');
    },
    limited: (what, payer) => limits.add(1, { class: what, payer }),
    taskOffered: () => offered.add(1),
    taskWithheld: (code) => withheld.add(1, { code }),
    partStored: (bytes) => {
      parts.add(1);
      partBytes.add(bytes);
    },
    updateJudged: (code) => judged.add(1, { verdict: code === '' ? 'accepted' : 'refused', code }),
    invitationOffered: (outcome) => invitations.add(1, { outcome }),
    watch: (gateway, port, bodies, streams) => {
      const gauge = (name: string, description: string, value: () => number) =>
        meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(value()));
      gauge('aegis_gateway_nodes_online', 'Nodes online at this gateway', () => gateway.roster.size);
      gauge('aegis_gateway_open_uploads', 'Uploads in hand', () => gateway.openUploads.size);
      gauge('aegis_gateway_held_pulls', 'Pulls waiting for work', () => gateway.held.waiting);
      gauge('aegis_gateway_open_tasks', 'Tasks in mailboxes', () => gateway.mailbox.size);
      gauge('aegis_gateway_connections', 'Open connections', () => port.connections());
      gauge('aegis_gateway_node_streams', 'Native clients connected', () => streams.nodes.size);
      gauge('aegis_gateway_join_streams', 'start_client connections', () => streams.joined.size);
      gauge('aegis_gateway_pressure', '0: calm, 1: the event loop has no rest, 2: memory runs out', () =>
        PRESSURES.indexOf(gateway.admission.pressure),
      );
      gauge('aegis_gateway_bodies_held_bytes', 'Bytes of large request bodies in memory', () => bodies.bytes());
      meter
        .createObservableCounter('aegis_gateway_body_bytes', { description: 'Bytes of large request bodies taken' })
        .addCallback((result) => result.observe(bodies.totalBytes()));
    },
  };
};

const causeOf = ({ cause }: AegisError): string | undefined => (cause instanceof Error ? cause.message : undefined);
