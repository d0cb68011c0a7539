import type {
  RunEvent as WireEvent,
  RoundSummary as WireRound,
  RunSummary as WireSummary,
  ModelVersion as WireVersion,
} from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import type {
  NodeConsent,
  Invitation as WireInvitation,
  NodeRecord as WireNode,
} from '@aegis/contracts/aegis/operator/v1/operator';
import { fromEntry } from '@aegis/flower-wire';
import type { Consent } from '../domain/consent.ts';
import { type Invitation, invitationId, invitationState } from '../domain/invitation.ts';
import type { ModelVersion, RoundSummary, RunEvent, RunSummary } from '../domain/run.ts';
import type { NodeView } from '../flows/list-nodes.ts';

export const encodeNode = ({ record, state, lastSeenAt }: NodeView): WireNode => ({
  nodeId: record.nodeId,
  state,
  keyFingerprint: record.fingerprint,
  certificate: record.subject,
  certificateUntil: record.certificateUntil / 1000,
  masks: record.canMask,
  flwrVersion: record.flwrVersion,
  dialect: record.dialect,
  registeredAt: record.registeredAt / 1000,
  lastSeenAt: lastSeenAt / 1000,
  selfRegistered: record.selfRegistered,
  name: record.name,
});

export const encodeInvitation = (invitation: Invitation, now: number): WireInvitation => ({
  id: invitationId(invitation),
  name: invitation.name,
  state: invitationState(invitation, now),
  createdAt: invitation.createdAt / 1000,
  expiresAt: invitation.expiresAt / 1000,
  usedAt: (invitation.use?.at ?? 0) / 1000,
  nodeId: invitation.use?.nodeId ?? 0n,
});

export const encodeConsents = ({ nodeId, consents }: { nodeId: bigint; consents: readonly Consent[] }): NodeConsent[] =>
  consents.map(({ to, version, given, at }) => ({ nodeId, to, version, given, at: at / 1000 }));

export const encodeRun = ({ run, history, masking, consent, ...rest }: RunSummary): WireSummary => ({
  ...rest,
  consent,
  masking: masking && { ...masking, metrics: [...masking.metrics], limits: [...masking.limits] },
  run: { ...run, owner: run.owner, overrides: run.overrides.map(fromEntry) },
  history: history.map(encodeRound),
});

export const encodeEvent = ({ run, message, nodes }: RunEvent): WireEvent => ({
  run: encodeRun(run),
  message,
  nodes: [...nodes],
});

export const encodeModel = ({ metrics, ...rest }: ModelVersion): WireVersion => ({
  ...rest,
  metrics: metrics.map(fromEntry),
});

const encodeRound = ({ trainMetrics, evaluateMetrics, ...rest }: RoundSummary): WireRound => ({
  ...rest,
  trainMetrics: trainMetrics.map(fromEntry),
  evaluateMetrics: evaluateMetrics.map(fromEntry),
});
