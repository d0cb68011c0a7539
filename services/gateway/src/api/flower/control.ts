import { AegisError } from '@aegis/errors';
import type {
  ControlCaller,
  ControlHandler,
  FederationListing,
  LogLines,
  NodeListing,
  RunListing,
  StartedRun,
  StartRunCommand,
} from '@aegis/flower-wire';
import type { AuditEvent } from '../../domain/audit.ts';
import { type ControlPolicy, type ControlUse, mayControl } from '../../domain/control-access.ts';
import type { RunSummary } from '../../domain/run.ts';
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
    this.#admit(c, 'runs');
    if (fab.length === 0) {
      throw new AegisError(
        'APP_NOT_FOUND',
        `"${appSpec.slice(0, 100)}" is not here: Aegis takes the app itself, from a folder.`,
      );
    }
    const started = await startRun(this.#gateway, fab, overrides, federation);
    await this.#did(c, 'run-started', `run ${started.runId}`);
    return { ...started, federation: FEDERATION };
  }

  async listRuns(
    c: ControlCaller,
    { runId, limit, skip }: { runId: bigint | null; limit: number; skip: number },
  ): Promise<RunListing[]> {
    this.#admit(c, 'runs');
    return (await listRuns(this.#gateway, { runId: runId ?? undefined, limit, skip })).map(toListing);
  }

  streamLogs(c: ControlCaller, runId: bigint, after: number, signal: AbortSignal): AsyncIterable<LogLines> {
    this.#admit(c, 'runs');
    return watchLog(this.#gateway, runId, after, signal);
  }

  async stopRun(c: ControlCaller, runId: bigint): Promise<boolean> {
    this.#admit(c, 'runs');
    await stopRun(this.#gateway, runId);
    await this.#did(c, 'run-stopped', `run ${runId}`);
    return true;
  }

  async listNodes(c: ControlCaller): Promise<NodeListing[]> {
    this.#admit(c, 'nodes');
    return (await listNodes(this.#gateway)).filter(({ state }) => state !== 'removed').map(toNodeListing);
  }

  async registerNode(
    c: ControlCaller,
    publicKeyPem: Buffer,
    { name }: { name: string; location: string },
  ): Promise<bigint> {
    this.#admit(c, 'nodes');
    const { nodeId } = await approveNode(this.#gateway, publicKeyPem.toString('latin1'), name);
    this.#gateway.log.info({ node: nodeId, peer: c.peer }, 'node approved through the Control API');
    await this.#did(c, 'node-approved', `node ${nodeId}`, name);
    return nodeId;
  }

  async unregisterNode(c: ControlCaller, nodeId: bigint): Promise<void> {
    this.#admit(c, 'nodes');
    await removeNode(this.#gateway, nodeId);
    this.#gateway.log.info({ node: nodeId, peer: c.peer }, 'node removed through the Control API');
    await this.#did(c, 'node-removed', `node ${nodeId}`);
  }

  async listFederations(c: ControlCaller): Promise<FederationListing[]> {
    return [await this.showFederation(c, FEDERATION)];
  }

  /** Without its nodes for a caller who may not see them. */
  async showFederation(c: ControlCaller, name: string): Promise<FederationListing> {
    this.#admit(c, 'runs');
    if (name !== FEDERATION) throw new AegisError('FEDERATION_NOT_FOUND', `There is only ${FEDERATION}.`);
    const [nodes, runs] = await Promise.all([
      this.#may(c, 'nodes') ? this.listNodes(c) : [],
      this.listRuns(c, { runId: null, limit: 0, skip: 0 }),
    ]);
    return { name: FEDERATION, description: 'All nodes of this server.', nodes, runs };
  }

  #did({ peer }: ControlCaller, event: AuditEvent, subject: string, detail = ''): Promise<void> {
    return this.#gateway.audit.note({ event, actor: `flwr at ${peer}`, subject, detail });
  }

  #may({ peer }: ControlCaller, use: ControlUse): boolean {
    return mayControl(this.#gateway.settings, peer, use);
  }

  #admit(c: ControlCaller, use: ControlUse): void {
    if (!this.#may(c, use)) throw new AegisError('CONTROL_NOT_HERE', refusals[this.#gateway.settings.control]);
  }
}

const refusals: Readonly<Record<ControlPolicy, string>> = {
  loopback:
    'It is served to this machine only: run the command on the server, or let the operator set control: open ' +
    '(aegis up --control open).',
  open: 'Where nodes need approval, they are managed from this machine only: run the command on the server, or use aegis nodes.',
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
