import { createHash } from 'node:crypto';
import type { Reply } from './evidence.ts';
import { contributionsIn, isExactMean } from './known-update.ts';

/** A finished round as the server shows it. */
export interface RoundOutcome {
  run: string;
  round: number;
  /** Accepted updates by the run's history. */
  accepted: number;
  model: Map<string, Float32Array>;
}

export interface Verdict {
  /** Replies of the disturbed runs that a node saw acknowledged. */
  acknowledged: number;
  /** Acknowledged and not in the model, in words. */
  missing: string[];
  twice: string[];
  /** Models that are not, to the bit, the mean of what is in them, differ from the undisturbed run, or were not handed to the nodes as they are. */
  wrong: string[];
  /** Tasks that a node executed more than once. */
  repeated: number;
  /** Rounds that closed without every node. */
  partial: number;
}

/** `undisturbed`: the models of a run of the same app that nobody killed, by round. `replies`: of each node, by partition. */
export function judge(
  replies: Reply[][],
  rounds: RoundOutcome[],
  undisturbed: ReadonlyMap<number, Map<string, Float32Array>>,
): Verdict {
  const verdict: Verdict = { acknowledged: 0, missing: [], twice: [], wrong: [], repeated: 0, partial: 0 };
  const runs = new Set(rounds.map(({ run }) => run));
  const disturbed = replies.flat().filter(({ run }) => runs.has(run));
  verdict.acknowledged = disturbed.filter(({ acknowledged }) => acknowledged).length;
  verdict.repeated = disturbed.filter(({ attempt }) => attempt > 1).length;
  for (const outcome of rounds) judgeRound(outcome, replies, undisturbed, verdict);
  return verdict;
}

function judgeRound(
  outcome: RoundOutcome,
  replies: Reply[][],
  undisturbed: ReadonlyMap<number, Map<string, Float32Array>>,
  verdict: Verdict,
): void {
  const { run, round, accepted, model } = outcome;
  const name = `run ${run} round ${round}`;
  const inside = contributionsIn(model.get('identity') as Float32Array, round);
  const counted = inside.reduce((sum, { count }) => sum + count, 0);
  for (const { partition, count } of inside) {
    if (count > 1) verdict.twice.push(`${name}: node ${partition} is in it ${count} times`);
  }
  if (counted !== accepted) verdict.twice.push(`${name}: ${counted} updates are in it, ${accepted} were accepted`);
  for (const [partition, node] of replies.entries()) {
    const first = node.find((reply) => reply.run === run && reply.round === round && reply.acknowledged);
    const found = inside.find((one) => one.partition === partition);
    // An answer to the same task that was stored before its acknowledgement could be given is as good.
    if (first && (!found || found.attempt > first.attempt)) {
      const instead = found ? `; attempt ${found.attempt} is in it instead` : '';
      verdict.missing.push(`${name}: attempt ${first.attempt} of node ${partition}${instead}`);
    }
  }
  const partitions = inside.map(({ partition }) => partition);
  const weights = model.get('weights') as Float32Array;
  if (!isExactMean(weights, partitions, round)) verdict.wrong.push(`${name}: the weights are not the exact mean`);
  if (partitions.length < replies.length) verdict.partial += 1;
  else if (!sameBits(weights, undisturbed.get(round)?.get('weights'))) {
    verdict.wrong.push(`${name}: the weights differ from the undisturbed run`);
  }
  const digest = digestOf(model);
  for (const [partition, node] of replies.entries()) {
    const strange = node.some((reply) => reply.run === run && reply.round === round + 1 && reply.model !== digest);
    if (strange) verdict.wrong.push(`${name}: node ${partition} was given another model for the round after`);
  }
}

const sameBits = (a: Float32Array, b: Float32Array | undefined): boolean =>
  b !== undefined && bytesOf(a).equals(bytesOf(b));

/** As the app makes it: over the values of all arrays, by name. */
export function digestOf(model: Map<string, Float32Array>): string {
  const hash = createHash('sha256');
  for (const name of [...model.keys()].sort()) hash.update(bytesOf(model.get(name) as Float32Array));
  return hash.digest('hex');
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
