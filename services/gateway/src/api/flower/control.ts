import { AegisError } from '@aegis/errors';
import type {
  AuthTokens,
  ControlCaller,
  ControlHandler,
  FederationListing,
  LoginDetails,
  LogLines,
  NodeListing,
  RunListing,
  StartedRun,
  StartRunCommand,
} from '@aegis/flower-wire';
import type { Account } from '../../domain/account.ts';
import type { AuditEvent } from '../../domain/audit.ts';
import { type ControlDeed, type ControlPolicy, mayControl, mayStop } from '../../domain/control-access.ts';
import type { RunSummary } from '../../domain/run.ts';
import { type Accounts, actorOf, type Shown } from '../../flows/accounts.ts';
import { approveNode } from '../../flows/approve-node.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { listNodes, type NodeView } from '../../flows/list-nodes.ts';
import { listRuns } from '../../flows/list-runs.ts';
import { removeNode } from '../../flows/remove-node.ts';
import { FEDERATION, startRun } from '../../flows/start-run.ts';
import { stopRun } from '../../flows/stop-run.ts';
import { watchLog } from '../../flows/watch-run.ts';

/** What the `flwr` command asks, on our flows, of those who may. */
export class FlowerControl implements ControlHandler {
  readonly #gateway: Gateway;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  async startRun(c: ControlCaller, { fab, overrides, federation, appSpec }: StartRunCommand): Promise<StartedRun> {
    const account = await this.#admit(c, 'start-run');
    if (fab.length === 0) {
      throw new AegisError(
        'APP_NOT_FOUND',
        `"${appSpec.slice(0, 100)}" is not here: Aegis takes the app itself, from a folder.`,
      );
    }
    const owner = account && { id: account.id, name: account.name };
    const started = await startRun(this.#gateway, fab, overrides, federation, owner);
    await this.#did(c, account, 'run-started', `run ${started.runId}`);
    return { ...started, federation: FEDERATION };
  }

  async listRuns(
    c: ControlCaller,
    { runId, limit, skip }: { runId: bigint | null; limit: number; skip: number },
  ): Promise<RunListing[]> {
    await this.#admit(c, 'see-runs');
    return this.#listRuns({ runId, limit, skip });
  }

  async #listRuns({
    runId,
    limit,
    skip,
  }: {
    runId: bigint | null;
    limit: number;
    skip: number;
  }): Promise<RunListing[]> {
    return (await listRuns(this.#gateway, { runId: runId ?? undefined, limit, skip })).map(toListing);
  }

  async streamLogs(
    c: ControlCaller,
    runId: bigint,
    after: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<LogLines>> {
    await this.#admit(c, 'see-runs');
    return watchLog(this.#gateway, runId, after, signal);
  }

  async stopRun(c: ControlCaller, runId: bigint): Promise<boolean> {
    const account = await this.#admit(c, 'stop-run');
    if (account !== undefined) await this.#demandOwn(c, account, runId);
    await stopRun(this.#gateway, runId);
    await this.#did(c, account, 'run-stopped', `run ${runId}`);
    return true;
  }

  async listNodes(c: ControlCaller): Promise<NodeListing[]> {
    await this.#admit(c, 'see-nodes');
    return this.#listNodes();
  }

  async #listNodes(): Promise<NodeListing[]> {
    return (await listNodes(this.#gateway)).filter(({ state }) => state !== 'removed').map(toNodeListing);
  }

  async registerNode(
    c: ControlCaller,
    publicKeyPem: Buffer,
    { name }: { name: string; location: string },
  ): Promise<bigint> {
    const account = await this.#admit(c, 'manage-nodes');
    const { nodeId } = await approveNode(this.#gateway, publicKeyPem.toString('latin1'), name);
    this.#gateway.log.info({ node: nodeId, peer: c.peer }, 'node approved through the Control API');
    await this.#did(c, account, 'node-approved', `node ${nodeId}`, name);
    return nodeId;
  }

  async unregisterNode(c: ControlCaller, nodeId: bigint): Promise<void> {
    const account = await this.#admit(c, 'manage-nodes');
    await removeNode(this.#gateway, nodeId);
    this.#gateway.log.info({ node: nodeId, peer: c.peer }, 'node removed through the Control API');
    await this.#did(c, account, 'node-removed', `node ${nodeId}`);
  }

  async listFederations(c: ControlCaller): Promise<FederationListing[]> {
    return [await this.showFederation(c, FEDERATION)];
  }

  /** Without its nodes for a caller who may not see them. */
  async showFederation(c: ControlCaller, name: string): Promise<FederationListing> {
    const account = await this.#admit(c, 'see-runs');
    if (name !== FEDERATION) throw new AegisError('FEDERATION_NOT_FOUND', `There is only ${FEDERATION}.`);
    const [nodes, runs] = await Promise.all([
      // Every role sees the nodes.
      account !== undefined || mayControl(this.#gateway.settings, c.peer, 'see-nodes') ? this.#listNodes() : [],
      this.#listRuns({ runId: null, limit: 0, skip: 0 }),
    ]);
    return { name: FEDERATION, description: 'All nodes of this server.', nodes, runs };
  }

  async beginLogin(): Promise<LoginDetails> {
    const { deviceCode, verificationUri, expiresIn, interval } = await this.#accounts().beginLogin();
    return { deviceCode, verificationUriComplete: verificationUri, expiresIn, interval };
  }

  async collectTokens({ peer }: ControlCaller, deviceCode: string): Promise<AuthTokens | null> {
    const tokens = await this.#accounts().collectLogin(deviceCode, peer);
    return tokens && fromAccountTokens(tokens);
  }

  async refreshTokens({ peer }: ControlCaller, refreshToken: string): Promise<AuthTokens> {
    return fromAccountTokens(await this.#accounts().renew(refreshToken, peer));
  }

  #accounts(): Accounts {
    const { accounts } = this.#gateway;
    if (accounts === null) throw new AegisError('ACCOUNTS_NOT_USED');
    return accounts;
  }

  #did(
    { peer }: ControlCaller,
    account: Account | undefined,
    event: AuditEvent,
    subject: string,
    detail = '',
  ): Promise<void> {
    const actor = account === undefined ? `flwr at ${peer}` : actorOf(account, peer);
    return this.#gateway.audit.note({ event, actor, subject, detail });
  }

  /** Whose call it is; undefined where there are no accounts. */
  async #admit(c: ControlCaller, deed: ControlDeed): Promise<Account | undefined> {
    const { settings, accounts, admission } = this.#gateway;
    if (settings.control === 'accounts' && accounts !== null) {
      const account = await accounts.admit(shownBy(c), deed);
      // Its address is no stranger's from now on: what strangers use up keeps it from nothing.
      admission.proved(c.connection, `account ${account.id}`, `account ${account.id}`);
      return account;
    }
    if (!mayControl(settings, c.peer, deed)) throw new AegisError('CONTROL_NOT_HERE', refusals[settings.control]);
    return undefined;
  }

  async #demandOwn({ peer }: ControlCaller, account: Account, runId: bigint): Promise<void> {
    const [found] = await listRuns(this.#gateway, { runId, limit: 1, skip: 0 });
    if (!mayStop(account, found?.run.owner)) this.#accounts().refuse(account, peer, `stop run ${runId} of another`);
  }
}

/** The token they call their access token is the provider's ID token: it is what was made for us. */
const fromAccountTokens = ({ idToken, refreshToken }: Parameters<Shown['renewed']>[0]): AuthTokens => ({
  accessToken: idToken,
  refreshToken,
});

const shownBy = ({ token, refreshToken, peer, renewed }: ControlCaller): Shown => ({
  ...{ token, refreshToken, peer },
  renewed: (tokens) => renewed(fromAccountTokens(tokens)),
});

const refusals: Readonly<Record<ControlPolicy, string>> = {
  loopback:
    'It is served to this machine only: run the command on the server, or let the operator set control: open ' +
    '(aegis up --control open).',
  open: 'Where nodes need approval, they are managed from this machine only: run the command on the server, or use aegis nodes.',
  accounts: 'It needs an account, and this server has none.',
  off: 'It is switched off (control: off): use aegis runs and aegis nodes.',
};

const toListing = ({ run, ...summary }: RunSummary): RunListing => ({
  ...run,
  overrides: [...run.overrides],
  pendingAt: summary.pendingAt,
  startingAt: summary.startingAt,
  runningAt: summary.runningAt,
  finishedAt: summary.finishedAt,
  bytesSent: summary.bytesSent,
  bytesReceived: summary.bytesReceived,
  clientappSeconds: 0,
  owner: run.owner && { ...run.owner },
});

const seconds = (milliseconds: number): number => milliseconds / 1000;

const toNodeListing = ({ record, state, onlineUntil, lastSeenAt }: NodeView): NodeListing => ({
  nodeId: record.nodeId,
  status: state === 'removed' ? 'unregistered' : state,
  registeredAt: seconds(record.registeredAt),
  lastActivatedAt: seconds(record.activatedAt),
  lastDeactivatedAt: state === 'offline' ? seconds(lastSeenAt) : 0,
  unregisteredAt: 0,
  onlineUntil: seconds(onlineUntil),
  heartbeatSeconds: record.heartbeatSeconds,
  publicKeyPem: Buffer.from(record.publicKey),
  name: record.name,
  location: '',
});
