import type { List, Operation } from './operations.ts';
import { type Outcome, runList } from './run.ts';
import type { World } from './world.ts';

/** So many runs are spent on making a list smaller. */
const ATTEMPTS = 1_500;

/** The smallest list found that breaks the same rule: fewer operations first, then smaller worlds and shorter times. */
export async function shrink(
  list: List,
  found: Outcome,
  prepare?: (world: World) => void,
): Promise<{ list: List; outcome: Outcome }> {
  let best: { list: List; outcome: Outcome } = {
    list: { ...list, operations: list.operations.slice(0, found.at + 1) },
    outcome: found,
  };
  let attempts = 0;
  const better = async (candidate: List): Promise<boolean> => {
    attempts += 1;
    if (attempts > ATTEMPTS) return false;
    const outcome = await runList(candidate, prepare);
    if (outcome.violation?.invariant !== found.violation?.invariant) return false;
    best = { list: candidate, outcome };
    return true;
  };
  for (let smaller = true; smaller && attempts <= ATTEMPTS; ) {
    smaller = await dropOperations(() => best.list, better);
    for (const candidate of simpler(best.list)) smaller = (await better(candidate)) || smaller;
  }
  return best;
}

/** Takes out runs of operations: half of the list, then quarters, and so on down to single ones. */
async function dropOperations(current: () => List, better: (list: List) => Promise<boolean>): Promise<boolean> {
  let dropped = false;
  for (let size = current().operations.length >> 1 || 1; size >= 1; size >>= 1) {
    for (let at = 0; at < current().operations.length; ) {
      const { operations } = current();
      const rest = [...operations.slice(0, at), ...operations.slice(at + size)];
      if (await better({ ...current(), operations: rest })) dropped = true;
      else at += size;
    }
  }
  return dropped;
}

function* simpler(list: List): Generator<List> {
  const { shape, operations } = list;
  const reshaped = (change: Partial<List['shape']>): List => ({ ...list, shape: { ...shape, ...change } });
  if (shape.privacy !== undefined && shape.privacy !== 'none') yield reshaped({ privacy: 'none' });
  if (shape.evaluate) yield reshaped({ evaluate: false });
  if (shape.rounds > 1) yield reshaped({ rounds: 1 });
  if (shape.gateways > 1) yield reshaped({ gateways: 1 });
  if (shape.aggregators > 1) yield reshaped({ aggregators: 1 });
  if (shape.firstModel === 'node') yield reshaped({ firstModel: 'operator' });
  if (shape.overSelect > 1) yield reshaped({ overSelect: 1 });
  if (shape.minReport !== null) yield reshaped({ minReport: null });
  if (shape.nodes > 2 && shape.minNodes < shape.nodes) yield reshaped({ nodes: shape.nodes - 1 });
  for (const [at, operation] of operations.entries()) {
    for (const easier of easierThan(operation))
      yield { ...list, operations: operations.map((other, index) => (index === at ? easier : other)) };
  }
}

function* easierThan(operation: Operation): Generator<Operation> {
  if (operation.do === 'answer' && operation.manner !== 'honest') yield { ...operation, manner: 'honest' };
  if (operation.do === 'advance' && operation.ms > 1) yield { ...operation, ms: Math.ceil(operation.ms / 2) };
  if (operation.do === 'crash-at-write' && operation.n > 1) yield { ...operation, n: operation.n - 1 };
  if ('next' in operation && operation.next > 1) yield { ...operation, next: operation.next - 1 };
}
