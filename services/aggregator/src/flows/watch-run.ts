import { AegisError } from '@aegis/errors';
import type { LogLine } from '../peers/contract.ts';
import type { Ground } from './ground.ts';
import { type RunOverview, showRun } from './list-runs.ts';
import type { RunOwner } from './own-runs.ts';

/** The run now, and after every change until it is finished. Changes that follow fast on each other come as one. */
export async function* watchRun(
  ground: Ground,
  owner: RunOwner,
  runId: bigint,
  signal: AbortSignal,
): AsyncIterable<RunOverview> {
  const ending = new AbortController();
  const changes = await ground.peers.feed.changes(AbortSignal.any([signal, ending.signal]));
  try {
    let view = await showRun(ground, owner, runId);
    yield view;
    if (view.run.state === 'finished') return;
    for await (const changed of changes) {
      if (changed !== runId) continue;
      view = await showRun(ground, owner, runId);
      yield view;
      if (view.run.state === 'finished') return;
    }
  } finally {
    ending.abort();
  }
}

/** The run's log, as `flwr log` shows it. With `follow` it goes on until the run is finished and its last line is out. */
export async function* watchLog(
  ground: Ground,
  runId: bigint,
  after: number,
  follow: boolean,
  signal: AbortSignal,
): AsyncIterable<LogLine> {
  const { stores, peers } = ground;
  const finished = async (): Promise<boolean> => (await stores.runs.get(runId))?.value.state === 'finished';
  if ((await stores.runs.get(runId)) === null) throw new AegisError('RUN_NOT_FOUND', `Run ${runId}.`);
  let latest = after;
  if (follow && !(await finished())) {
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    const changes = await peers.feed.changes(until);
    const watching = (async () => {
      if (await finished()) return over.abort();
      for await (const changed of changes) if (changed === runId && (await finished())) return over.abort();
    })().catch(() => over.abort());
    try {
      for await (const line of peers.feed.readLog(runId, latest, true, until)) {
        latest = line.at;
        yield line;
      }
    } catch (error) {
      if (!until.aborted) throw error;
    } finally {
      over.abort();
      await watching;
    }
  }
  signal.throwIfAborted();
  yield* peers.feed.readLog(runId, latest, false, signal);
}
