// The Control API without a transport: what the `flwr` command sends in, what it reads out.

import {
  GetAuthTokensRequest,
  GetAuthTokensResponse,
  GetLoginDetailsRequest,
  GetLoginDetailsResponse,
  ListFederationsRequest,
  ListFederationsResponse,
  ListNodesRequest,
  ListNodesResponse,
  ListNodesResponse123,
  ListRunsRequest,
  ListRunsResponse,
  RefreshAuthTokensRequest,
  RefreshAuthTokensResponse,
  RegisterNodeRequest,
  RegisterNodeResponse,
  ShowFederationRequest,
  ShowFederationResponse,
  StartRunRequest,
  StartRunResponse,
  StopRunRequest,
  StopRunResponse,
  StreamLogsRequest,
  StreamLogsResponse,
  UnregisterNodeRequest,
} from '@aegis/contracts/flwr/proto/control';
import { Fab } from '@aegis/contracts/flwr/proto/fab';
import type { Federation } from '@aegis/contracts/flwr/proto/federation';
import type { NodeInfo, NodeInfo123 } from '@aegis/contracts/flwr/proto/node';
import { AegisError } from '@aegis/errors';
import { rawField } from '@aegis/service-kit';
import type { ControlCaller, ControlHandler, FederationListing, LogLines, NodeListing } from './control-contract.ts';
import { decodeWith } from './decode.ts';
import { type CallHead, tooLarge } from './fleet-service.ts';
import { limits } from './limits.ts';
import { isoTime } from './node-auth.ts';
import { fromWireScalar } from './records.ts';
import { readsFederationDetails, readsOldNodeInfo } from './versions.ts';
import { NO_ACCOUNT_ID, NO_ACCOUNT_NAME, toWireRun } from './wire-run.ts';

export type ControlAnswer =
  | { kind: 'message'; bytes: Uint8Array }
  /** One response message per item; errors may come before the first or in between. */
  | { kind: 'stream'; messages: AsyncIterable<Uint8Array> };

interface Context {
  handler: ControlHandler;
  /** Unix seconds. */
  now: number;
  c: ControlCaller;
  signal: AbortSignal;
}
interface ControlMethod {
  limit: number;
  run(context: Context, body: Buffer): Promise<ControlAnswer>;
}

export interface ControlServiceOptions {
  /** Unix milliseconds, for the `now` commands compute ages with. */
  now: () => number;
}

export class ControlService {
  readonly #handler: ControlHandler;
  readonly #now: () => number;

  constructor(handler: ControlHandler, { now }: ControlServiceOptions) {
    this.#handler = handler;
    this.#now = now;
  }

  limitOf(method: string): number {
    return methodOf(method).limit;
  }

  /** METHOD_NOT_OFFERED for the methods of Flower's hosted product. */
  async call(method: string, body: Buffer, head: CallHead): Promise<ControlAnswer> {
    const { limit, run } = methodOf(method);
    if (body.byteLength > limit) throw tooLarge(body.byteLength, limit);
    const c: ControlCaller = {
      dialect: head.dialect,
      flwrVersion: head.text('flwr-package-version'),
      token: tokenOf(head),
      refreshToken: head.dialect === 'grpc' ? head.text(REFRESH_TOKEN) : '',
      connection: head.connection,
      peer: head.peer,
      renewed: ({ accessToken, refreshToken }) =>
        head.reply?.({ [ACCESS_TOKEN]: accessToken, [REFRESH_TOKEN]: refreshToken }),
    };
    return run({ handler: this.#handler, now: this.#now() / 1000, c, signal: head.signal }, body);
  }
}

/** Metadata of commands over gRPC, to and fro. */
const ACCESS_TOKEN = 'flwr-oidc-access-token';
const REFRESH_TOKEN = 'flwr-oidc-refresh-token';

/** HTTP sends a bearer token, gRPC its own metadata key. */
function tokenOf(head: CallHead): string {
  const bearer = /^Bearer +(\S+)$/i.exec(head.text('authorization'))?.[1];
  return bearer ?? head.text(ACCESS_TOKEN);
}

const methodOf = (name: string): ControlMethod => {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (method !== undefined) return method;
  throw new AegisError(notOffered.has(name) ? 'METHOD_NOT_OFFERED' : 'METHOD_UNKNOWN', `control/${name.slice(0, 64)}`);
};

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}
const answer = <T>(type: Encoder<T>, message: T): ControlAnswer => ({
  kind: 'message',
  bytes: type.encode(message).finish(),
});
const nothing: ControlAnswer = { kind: 'message', bytes: Buffer.alloc(0) };

const methods: Readonly<Record<string, ControlMethod>> = {
  'start-run': {
    limit: limits.startRun,
    async run({ handler, c }, body) {
      const outer = rawField.split(body, 1, { once: true });
      const inner = rawField.split(outer.body, 2);
      const headLength = outer.head.byteLength + inner.head.byteLength;
      if (headLength > limits.startRunHead) throw tooLarge(headLength, limits.startRunHead);
      const request = decodeWith(StartRunRequest, outer.head, 'StartRunRequest');
      const fab = decodeWith(Fab, inner.head, 'Fab');
      const started = await handler.startRun(c, {
        fab: inner.body,
        fabHash: fab.hashStr,
        overrides: Object.entries(request.overrideConfig).map(([key, value]) => fromWireScalar(key, value)),
        federation: request.federation,
        appSpec: request.appSpec,
        seriesId: request.seriesId ?? null,
      });
      return answer(StartRunResponse, {
        runId: started.runId,
        note: started.note === '' ? undefined : started.note,
        seriesId: started.seriesId,
        federation: started.federation,
      });
    },
  },
  'stop-run': {
    limit: limits.head,
    async run({ handler, c }, body) {
      const { runId } = decodeWith(StopRunRequest, body, 'StopRunRequest');
      return answer(StopRunResponse, { success: await handler.stopRun(c, runId) });
    },
  },
  'list-runs': {
    limit: limits.head,
    async run({ handler, c, now }, body) {
      const { runId, limit, skip } = decodeWith(ListRunsRequest, body, 'ListRunsRequest');
      const query = { runId: runId ?? null, limit: count(limit), skip: count(skip) };
      const runs = await handler.listRuns(c, query);
      if (query.runId !== null && runs.length === 0) throw new AegisError('RUN_NOT_FOUND', String(query.runId));
      const runDict = new Map(runs.map((run) => [run.runId, toWireRun(run)]));
      return answer(ListRunsResponse, { runDict, now: isoTime(now) });
    },
  },
  'stream-logs': {
    limit: limits.head,
    async run({ handler, c, signal }, body) {
      const { runId, afterTimestamp } = decodeWith(StreamLogsRequest, body, 'StreamLogsRequest');
      const after = Number.isFinite(afterTimestamp) ? afterTimestamp : 0;
      return { kind: 'stream', messages: logMessages(await handler.streamLogs(c, runId, after, signal)) };
    },
  },
  'list-nodes': {
    limit: limits.head,
    async run({ handler, c, now }, body) {
      decodeWith(ListNodesRequest, body, 'ListNodesRequest');
      const nodes = await handler.listNodes(c);
      return readsOldNodeInfo(c.flwrVersion)
        ? answer(ListNodesResponse123, { nodesInfo: nodes.map(toOldNodeInfo), now: isoTime(now) })
        : answer(ListNodesResponse, { nodesInfo: nodes.map(toNodeInfo), now: isoTime(now) });
    },
  },
  'register-node': {
    limit: limits.head,
    async run({ handler, c }, body) {
      const { publicKey, name, location } = decodeWith(RegisterNodeRequest, body, 'RegisterNodeRequest');
      const nodeId = await handler.registerNode(c, publicKey, { name: name ?? '', location: location ?? '' });
      return answer(RegisterNodeResponse, { nodeId });
    },
  },
  'unregister-node': {
    limit: limits.head,
    async run({ handler, c }, body) {
      await handler.unregisterNode(c, decodeWith(UnregisterNodeRequest, body, 'UnregisterNodeRequest').nodeId);
      return nothing;
    },
  },
  'list-federations': {
    limit: limits.head,
    async run({ handler, c }, body) {
      decodeWith(ListFederationsRequest, body, 'ListFederationsRequest');
      const federations = await handler.listFederations(c);
      // The list shows names and counts; nodes and runs belong to show-federation.
      const short = federations.map((federation) => toFederation({ ...federation, nodes: [], runs: [] }, c));
      return answer(ListFederationsResponse, { federations: short });
    },
  },
  'show-federation': {
    limit: limits.head,
    async run({ handler, c, now }, body) {
      const { federationName } = decodeWith(ShowFederationRequest, body, 'ShowFederationRequest');
      const federation = toFederation(await handler.showFederation(c, federationName), c);
      return answer(ShowFederationResponse, { federation, now: isoTime(now) });
    },
  },
  'get-login-details': {
    limit: limits.head,
    async run({ handler, c }, body) {
      decodeWith(GetLoginDetailsRequest, body, 'GetLoginDetailsRequest');
      const details = await handler.beginLogin(c);
      return answer(GetLoginDetailsResponse, {
        // The only kind of log-in that commands know.
        authnType: 'oidc',
        deviceCode: details.deviceCode,
        verificationUriComplete: details.verificationUriComplete,
        expiresIn: BigInt(details.expiresIn),
        interval: BigInt(details.interval),
      });
    },
  },
  'get-auth-tokens': {
    limit: limits.head,
    async run({ handler, c }, body) {
      const { deviceCode } = decodeWith(GetAuthTokensRequest, body, 'GetAuthTokensRequest');
      // Two empty texts: ask again.
      const tokens = await handler.collectTokens(c, deviceCode);
      return answer(GetAuthTokensResponse, tokens ?? { accessToken: '', refreshToken: '' });
    },
  },
  'refresh-auth-tokens': {
    limit: limits.head,
    async run({ handler, c }, body) {
      const { refreshToken } = decodeWith(RefreshAuthTokensRequest, body, 'RefreshAuthTokensRequest');
      return answer(RefreshAuthTokensResponse, await handler.refreshTokens(c, refreshToken));
    },
  },
};

/** The other methods of Flower's service Control. */
const notOffered: ReadonlySet<string> = new Set([
  'pull-artifacts',
  'start-automation',
  'list-automations',
  'stop-automation',
  'list-run-series',
  'get-run-series',
  'update-run-series-description',
  'list-run-series-events',
  'list-connectors',
  'disconnect-connector',
  'begin-connector-o-auth',
  'begin-connector-oauth',
  'complete-connector-o-auth',
  'complete-connector-oauth',
  'list-apps',
  'list-app-associations',
  'add-app',
  'remove-app',
  'set-federation-icon',
  'create-federation',
  'archive-federation',
  'add-node-to-federation',
  'remove-node-from-federation',
  'remove-account-from-federation',
  'create-invitation',
  'list-invitations',
  'accept-invitation',
  'reject-invitation',
  'revoke-invitation',
  'configure-simulation-federation',
  'stream-run-events',
]);

const count = (value: bigint | undefined): number => Number(value === undefined || value > 1_000_000n ? 0n : value);

async function* logMessages(lines: AsyncIterable<LogLines>): AsyncGenerator<Uint8Array> {
  for await (const { text, latest } of lines) {
    yield StreamLogsResponse.encode({ logOutput: text, latestTimestamp: latest }).finish();
  }
}

const timeOrAbsent = (unixSeconds: number): string | undefined => isoTime(unixSeconds) || undefined;
const textOrAbsent = (text: string): string | undefined => text || undefined;

function toNodeInfo(node: NodeListing): NodeInfo {
  return {
    ...toOldNodeInfo(node),
    ownerName: NO_ACCOUNT_NAME,
    location: textOrAbsent(node.location),
    name: textOrAbsent(node.name),
  };
}

function toOldNodeInfo(node: NodeListing): NodeInfo123 {
  return {
    nodeId: node.nodeId,
    ownerAid: NO_ACCOUNT_ID,
    status: node.status,
    registeredAt: isoTime(node.registeredAt),
    lastActivatedAt: timeOrAbsent(node.lastActivatedAt),
    lastDeactivatedAt: timeOrAbsent(node.lastDeactivatedAt),
    unregisteredAt: timeOrAbsent(node.unregisteredAt),
    onlineUntil: node.onlineUntil > 0 ? node.onlineUntil : undefined,
    heartbeatInterval: node.heartbeatSeconds,
    publicKey: node.publicKeyPem,
  };
}

function toFederation(federation: FederationListing, c: ControlCaller): Federation {
  const full = readsFederationDetails(c.flwrVersion);
  const owner = { account: { id: NO_ACCOUNT_ID, name: NO_ACCOUNT_NAME }, role: 'owner' };
  return {
    name: federation.name,
    nodes: full ? federation.nodes.map(toNodeInfo) : [],
    runs: full ? federation.runs.map(toWireRun) : [],
    description: full ? federation.description : '',
    members: full ? [owner] : [],
    archived: false,
    simulation: false,
    config: undefined,
    canInviteMembers: false,
    canAddSupernodes: false,
    memberCount: full ? 1 : undefined,
    iconKey: undefined,
  };
}
