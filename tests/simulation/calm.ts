import { checkRun } from './final-checks.ts';
import type { Violation } from './witness.ts';
import type { World } from './world.ts';

/** Longer than a node that let a deadline pass is left out, which is the longest that anything waits. */
const PATIENCE_MS = 7_200_000;
const CALM_STEP_MS = 500;
/** A silent node is given up after one minute, a run's driver after a lease. */
const FORGOTTEN_MS = 75_000;
/** Expiry and snapshots of two gateways; leases and presence of two aggregators; the tests' own nodes. */
const TIMERS_AT_REST = 24;

/**
 * Everything is well again, nodes do what they should, and time passes: every run must come to its end and leave nothing behind.
 * `thorough`: also when everybody has left.
 */
export async function calm(world: World, thorough: boolean): Promise<void> {
  const { nats, disk, witness } = world;
  witness.trace.push('— calm');
  nats.setUp(true);
  Object.assign(nats, { inDoubt: 0, refusing: 0, dropping: 0, slowMs: 0 });
  Object.assign(disk, { isFull: false, slowMs: 0 });
  for (const process of [...world.aggregators, ...world.gateways]) {
    process.life.resume();
    process.life.wallAhead = 0;
    process.life.crashAtWrite(Number.POSITIVE_INFINITY, false);
  }
  for (const node of world.nodes) Object.assign(node.link, { isCut: false, loses: null });
  await world.settle();
  const end = world.clock.monotonic() + PATIENCE_MS;
  for (const node of world.nodes) void node.behave();
  for (let step = CALM_STEP_MS; !(await isOver(world)); step = Math.min(step * 1.2, 30_000)) {
    if (world.clock.monotonic() > end) {
      for (const what of await leftBehind(world)) witness.fail(what.invariant, what.what);
      return;
    }
    world.aggregators.forEach((_, at) => void world.start(`aggregator ${at}`));
    world.gateways.forEach((_, at) => void world.start(`gateway ${at}`));
    await world.advance(step);
    if (witness.violations.length > 0) return;
  }
  for (const run of witness.runs.values()) await checkRun(world, run);
  if (thorough) await emptyOut(world);
}

/** The nodes go, and a while later nobody remembers them or the run: what a process keeps must not grow with what it has seen. */
async function emptyOut(world: World): Promise<void> {
  const { witness } = world;
  for (const node of world.nodes) node.retire();
  await world.advance(FORGOTTEN_MS);
  for (const { gateway, life } of world.gateways) {
    const { size } = gateway?.roster ?? { size: 0 };
    if (size > 0) witness.fail('nothing left behind', `${life.name} still counts ${size} nodes as online`);
    if (gateway !== null && gateway.held.waiting > 0)
      witness.fail('nothing left behind', `${life.name} holds ${gateway.held.waiting} pulls of nodes that have gone`);
  }
  for (const { owner, life } of world.aggregators)
    for (const runId of life.isDead ? [] : witness.runs.keys())
      if (owner?.owned(runId) !== undefined)
        witness.fail('nothing left behind', `${life.name} still drives run ${runId}`);
  const timers = world.clock.pending;
  if (timers > TIMERS_AT_REST) witness.fail('nothing left behind', `${timers} timers are pending`);
}

const isOver = async (world: World): Promise<boolean> => (await leftBehind(world)).length === 0;

async function leftBehind(world: World): Promise<Violation[]> {
  const left: Violation[] = [];
  const leftover = (what: string) => left.push({ invariant: 'nothing left behind', what });
  for (const run of world.witness.runs.values()) {
    if (run.state !== 'finished')
      left.push({
        invariant: 'every run ends',
        what: `run ${run.runId} is ${run.state} in ${run.phase?.kind} ${run.phase?.round}`,
      });
  }
  if (left.length > 0) return left;
  for (const bucket of ['tasks', 'rounds', 'leases'] as const) {
    const keys = world.nats.keys(bucket);
    if (keys.length > 0) leftover(`bucket ${bucket}: ${keys.join(', ')}`);
  }
  if (world.disk.rooms().length > 0) leftover(`intakes: ${world.disk.rooms().join(', ')}`);
  for (const { gateway, life } of world.gateways) {
    if (gateway === null || life.isDead) leftover(`${life.name} is not up`);
    else if (gateway.mailbox.size + gateway.openUploads.size > 0)
      leftover(`${life.name} has ${gateway.mailbox.size} tasks and ${gateway.openUploads.size} uploads in memory`);
  }
  return left;
}
