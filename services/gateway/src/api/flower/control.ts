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
import type { RunSummary } from '../../domain/run.ts';
import { approveNode } from '../../flows/approve-node.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { listNodes, type NodeView } from '../../flows/list-nodes.ts';
import { listRuns } from '../../flows/list-runs.ts';
import { removeNode } from '../../flows/remove-node.ts';
import { FEDERATION, startRun } from '../../flows/start-run.ts';
import { stopRun } from '../../flows/stop-run.ts';
import { watchLog } from '../../flows/watch-run.ts';

/** What the `flwr` command asks, on our flows. */
export class FlowerControl implements ControlHandler {
  readonly #gateway: Gateway;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  async startRun(_c: ControlCaller, { fab, overrides, federation, appSpec }: StartRunCommand): Promise<StartedRun> {
    if (fab.length === 0) {
      throw new AegisError(
        'APP_NOT_FOUND',
        `"${appSpec.slice(0, 100)}" is not here: Aegis takes the app itself, from a folder.`,
      );
    }
    return { ...(await startRun(this.#gateway, fab, overrides, federation)), federation: FEDERATION };
  }

  async listRuns(
    _c: ControlCaller,
    { runId, limit, skip }: { runId: bigint | null; limit: number; skip: number },
  ): Promise<RunListing[]> {
    return (await listRuns(this.#gateway, { runId: runId ?? undefined, limit, skip })).map(toListing);
  }

  streamLogs(_c: ControlCaller, runId: bigint, after: number, signal: AbortSignal): AsyncIterable<LogLines> {
    return watchLog(this.#gateway, runId, after, signal);
  }

  async stopRun(_c: ControlCaller, runId: bigint): Promise<boolean> {
    await stopRun(this.#gateway, runId);
    return true;
  }

  async listNodes(_c: ControlCaller): Promise<NodeListing[]> {
    return (await listNodes(this.#gateway)).filter(({ state }) => state !== 'removed').map(toNodeListing);
  }

  async registerNode(
    _c: ControlCaller,
    publicKeyPem: Buffer,
    { name }: { name: string; location: string },
  ): Promise<bigint> {
    return (await approveNode(this.#gateway, publicKeyPem.toString('latin1'), name)).nodeId;
  }

  async unregisterNode(_c: ControlCaller, nodeId: bigint): Promise<void> {
    await removeNode(this.#gateway, nodeId);
  }

  async listFederations(c: ControlCaller): Promise<FederationListing[]> {
    return [await this.showFederation(c, FEDERATION)];
  }

  async showFederation(c: ControlCaller, name: string): Promise<FederationListing> {
    if (name !== FEDERATION) throw new AegisError('FEDERATION_NOT_FOUND', `There is only ${FEDERATION}.`);
    const [nodes, runs] = await Promise.all([this.listNodes(c), this.listRuns(c, { runId: null, limit: 0, skip: 0 })]);
    return { name: FEDERATION, description: 'All nodes of this server.', nodes, runs };
  }
}

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
