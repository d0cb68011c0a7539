// What must be true of private runs: granted ≥ reserved + committed ≥ released, whatever happens.
import { reservationKey } from '../../services/aggregator/src/domain/private-round.ts';
import type { RunRecord } from '../../services/aggregator/src/domain/run.ts';
import type { IntakeRoom } from '../../services/aggregator/src/store/contract.ts';
import type { BusWrite } from './bus.ts';
import type { World } from './world.ts';

const keyOf = ({ runId, round, attempt }: IntakeRoom): string => reservationKey(runId, round, attempt);

/** A task that a node can see was reserved for, and under tree noise it is the node's only one. */
export function checkAsked({ shape, witness, ledger }: World, { bucket, key, value }: BusWrite): void {
  if (shape.privacy === undefined || bucket !== 'tasks' || value === null) return;
  const task = witness.tasks.get(key.split('.')[1] ?? '');
  if (task === undefined || task.room.kind !== 'train') return;
  const { room } = task;
  if (shape.privacy === 'tree') {
    const other = [...witness.tasks.values()].find(
      (known) => known.nodeId === task.nodeId && known.room.kind === 'train' && known.taskId !== task.taskId,
    );
    if (other !== undefined)
      witness.fail(
        'nobody is asked twice in a tree',
        `node ${task.nodeId} has ${task.taskId} of round ${room.round}, and had ${other.taskId} of round ${other.room.round}`,
      );
  }
  const deeds = ledger.deeds.filter((deed) => deed.key === keyOf(room)).map(({ did }) => did);
  if (deeds[0] !== 'reserve' || deeds.includes('release'))
    witness.fail(
      'nobody is asked before it is paid for',
      `${key} is offered, the ledger has ${deeds.join(', ') || 'nothing'}`,
    );
}

/** The model of a round is the one that was committed for the attempt that made it. */
export function checkPaid({ witness, ledger }: World, room: IntakeRoom, modelId: string): void {
  const deeds = ledger.deeds.filter((deed) => deed.key === keyOf(room));
  const committed = deeds.find(({ did }) => did === 'commit');
  if (committed?.digest !== modelId)
    witness.fail('what leaves was paid for', `round ${room.round} left ${modelId}, committed is ${committed?.digest}`);
}

export function checkLedger({ witness, ledger }: World, run: RunRecord): void {
  const { privacy } = run.plan;
  if (privacy === undefined) return;
  const spent = ledger.spent({ runId: run.runId, delta: privacy.delta });
  if (spent > privacy.epsilon * (1 + 1e-6))
    witness.fail('what leaves was paid for', `ε ${spent} is spent of ${privacy.epsilon}`);
  const ends = new Map<string, string>();
  for (const { did, id } of ledger.deeds) {
    const before = ends.get(id);
    if (did === 'reserve' ? before !== undefined : before !== 'reserve')
      witness.fail('what leaves was paid for', `${did} of ${id} after ${before ?? 'nothing'}`);
    ends.set(id, did);
  }
  const committed = [...ends.values()].filter((did) => did === 'commit').length;
  // one more: committed, and stopped or failed before the run's record could say so
  if (committed < run.history.length || committed > run.history.length + 1)
    witness.fail('what leaves was paid for', `${committed} rounds are committed, ${run.history.length} left`);
}
