import type { Run } from '@aegis/contracts/flwr/proto/run';
import type { RunListing } from './control-contract.ts';
import type { FlowerRun } from './fleet-contract.ts';
import { isoTime } from './node-auth.ts';
import { toWireScalar } from './records.ts';

/** Account words of a run that no account started; commands print them, nothing compares them. */
export const NO_ACCOUNT_ID = '<id:none>';
export const NO_ACCOUNT_NAME = 'none';

/** A run as nodes and commands read it. What a node may see has no times, and no account. */
export function toWireRun(run: FlowerRun | RunListing): Run {
  const listing = 'pendingAt' in run ? run : undefined;
  return {
    runId: run.runId,
    fabId: run.appId,
    fabVersion: run.appVersion,
    overrideConfig: Object.fromEntries(run.overrides.map((entry) => [entry.key, toWireScalar(entry)])),
    fabHash: run.appHash,
    pendingAt: isoTime(listing?.pendingAt ?? 0),
    startingAt: isoTime(listing?.startingAt ?? 0),
    runningAt: isoTime(listing?.runningAt ?? 0),
    finishedAt: isoTime(listing?.finishedAt ?? 0),
    status: run.status,
    flwrAid: listing?.owner?.id ?? NO_ACCOUNT_ID,
    federation: run.federation,
    bytesSent: listing?.bytesSent ?? 0n,
    bytesRecv: listing?.bytesReceived ?? 0n,
    clientappRuntime: listing?.clientappSeconds ?? 0,
    primaryTaskType: 'flwr-serverapp',
    primaryTaskId: undefined,
    seriesId: run.seriesId,
    accountName: listing?.owner?.name ?? NO_ACCOUNT_NAME,
  };
}
