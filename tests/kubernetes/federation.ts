// Who takes part: deterministic nodes of our own (tests/suite), and stock SuperNodes.
import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { StartRunRequest, StartRunResponse } from '@aegis/contracts/flwr/proto/control';
import { systemRandom } from '@aegis/service-kit';
import { flwrRun } from '../../cli/src/demo/flwr-run.ts';
import { createNodeKey, type SuperNode, startSuperNode } from '../../cli/src/demo/supernode.ts';
import { rawHttp, type Target } from '../../services/gateway/src/testing/wire-client.ts';
import { freePort } from '../suite/cluster.ts';
import { bundle, fleet } from '../suite/crash-app.ts';
import type { WorkingNode } from '../suite/nodes.ts';
import { cluster, root } from './cluster.ts';
import { files, namespace } from './suite.ts';

const run = promisify(execFile);

/** The gateway as this machine reaches it. */
export async function reach(): Promise<Target & { address: string }> {
  const port = await cluster.forward(`${namespace}/aegis-gateway:443`);
  return { host: '127.0.0.1', port, ca: readFileSync(files.ca), address: `127.0.0.1:${port}` };
}

export interface RunFacts {
  readonly status: string;
  readonly subStatus: string;
  readonly round: number;
  readonly modelId: string;
  readonly history: readonly { readonly accepted: number; readonly dropped: number; readonly seconds: number }[];
}

/** `aegis … --json`. */
export async function aegisHere(...command: string[]): Promise<unknown> {
  const { stdout } = await run(join(root, 'node_modules/.bin/aegis'), [...command, '--json'], { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout);
}

/** The same against the cluster's gateway. */
export const aegis = (address: string, ...command: string[]): Promise<unknown> =>
  aegisHere(...command, '--address', address, '--ca', files.ca, '--token-file', files.token);

/** Asks again through any outage, until the run is over. */
export async function finished(address: string, runId: bigint, withinMs: number): Promise<RunFacts> {
  const until = Date.now() + withinMs;
  let last: unknown;
  while (Date.now() < until) {
    last = await aegis(address, 'runs', 'show', String(runId)).catch((error: unknown) => error);
    if ((last as RunFacts).status === 'finished') return last as RunFacts;
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
  throw new Error(`run ${runId} is not over after ${withinMs / 1000} s: ${JSON.stringify(last)}`);
}

export interface Crowd {
  readonly nodes: readonly WorkingNode[];
  readonly runId: bigint;
  /** Longest time between two stored answers so far, the running one included; seconds. */
  longestPause(): number;
  /** Messages that a node gave up although it repeated what is worth repeating. */
  failures(): number;
  /** They say goodbye: for a minute or two the next run would wait for who does not. */
  end(): Promise<void>;
}

/** Three deterministic nodes, all needed, and a run of so many rounds; each answer takes `workMs`. */
export async function startCrowd(target: Target, rounds: number, workMs: number): Promise<Crowd> {
  let [longest, last] = [0, performance.now()];
  const nodes = await fleet([target], (app) => async (offer, received, node) => {
    await new Promise((resolve) => setTimeout(resolve, workMs));
    // An offer is proof of progress: the round before it is closed, or this one was opened.
    [longest, last] = [Math.max(longest, performance.now() - last), performance.now()];
    return app(offer, received, node);
  });
  const request = StartRunRequest.encode({
    ...StartRunRequest.decode(new Uint8Array()),
    fab: { hashStr: '', content: bundle(rounds), verifications: {} },
  }).finish();
  const headers = { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' };
  const answer = await rawHttp(target, undefined, { path: '/v1/control/start-run', body: request, headers });
  last = performance.now();
  return {
    nodes,
    runId: StartRunResponse.decode(answer).runId ?? 0n,
    longestPause: () => Math.max(longest, performance.now() - last) / 1_000,
    failures: () => nodes.reduce((sum, { outcomes }) => sum + outcomes.filter((one) => one !== 'stored').length, 0),
    end: async () => {
      await Promise.all(nodes.map((node) => node.leave()));
    },
  };
}

export const binOf = (release: string, ...extra: string[]): string =>
  execFileSync(join(root, 'scripts/flwr-venv.sh'), [release, ...extra], { encoding: 'utf8' }).trim();

/** Stock SuperNodes of these releases, the first with partition 0. */
export async function startStockNodes(address: string, releases: readonly string[]): Promise<SuperNode[]> {
  const nodes: SuperNode[] = [];
  for (const [partition, release] of releases.entries()) {
    const name = `node-${partition}-${randomUUID().slice(0, 8)}`;
    const key = await createNodeKey(join(files.folder, 'keys'), name, systemRandom);
    await aegis(address, 'nodes', 'approve', key.publicFile);
    nodes.push(
      await startSuperNode({
        ...{ role: { name, release, partition }, nodes: releases.length, bin: binOf(release) },
        ...{ key, address, ca: files.ca, runtimePort: await freePort(), folder: files.folder, env: process.env },
      }),
    );
  }
  return nodes;
}

/** `aegis app import` and `flwr run` of the linear regression of tests/interop. */
export async function startStockRun(address: string, rounds: number): Promise<bigint> {
  const bin = binOf('1.41.0');
  const app = join(files.folder, 'app');
  mkdirSync(app, { recursive: true });
  cpSync(join(root, 'tests/interop/apps/fedavg_msg'), app, { recursive: true });
  const runConfig = `num-server-rounds=${rounds}`;
  await aegis(address, 'app', 'import', app, '--python', join(bin, 'python'), '--run-config', runConfig);
  const signal = AbortSignal.timeout(120_000);
  const home = join(files.folder, 'flwr');
  return flwrRun({ app, runConfig, reach: { address, ca: files.ca }, bin, home, env: process.env, signal });
}

/** The arrays of a run's newest model, as Python reads them. */
export async function finalArrays(address: string, runId: bigint): Promise<Record<string, number[]>> {
  const file = join(files.folder, `${runId}.npz`);
  await aegis(address, 'models', 'export', '--run', String(runId), '--format', 'npz', '-o', file);
  const script =
    'import json,sys,numpy as n; print(json.dumps({k: n.ravel(v).tolist() for k, v in n.load(sys.argv[1]).items()}))';
  const { stdout } = await run(join(binOf('1.41.0'), 'python'), ['-c', script, file]);
  return JSON.parse(stdout);
}
