import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { exportModel, type RunFacts, showRun } from '../peers/aegis-cli.ts';
import { type BenchApp, writeApp } from '../peers/app.ts';
import type { Log } from '../report/log.ts';
import { Dice } from './dice.ts';
import type { Reply } from './evidence.ts';
import { buildFortress, type Fortress, type FortressKind } from './fortress.ts';
import { type Release, StockNode } from './stock-node.ts';
import type { RoundOutcome } from './verdict.ts';

const TEMPLATE = fileURLToPath(new URL('./app', import.meta.url));
const ROUNDS = 6;
const PARAMETERS = 200_000;
/** One of each way to speak to the server, and the newest twice. */
const RELEASES: readonly Release[] = ['1.41.0', '1.41.0', '1.39.0', '1.22.0'];
/** A run that does nothing for so long, with nobody killing, is stuck. */
const STUCK_MS = 300_000;

export interface SiegePlan {
  kind: FortressKind;
  kills: number;
  seed: number;
  /** First a run that nobody disturbs: its models are what the others' must be. */
  undisturbed: boolean;
}

export interface Kill {
  /** Seconds since the first kill of the siege. */
  at: number;
  victim: string;
  /** Replies acknowledged to the nodes by then. */
  acknowledged: number;
}

export interface SiegeReport {
  kills: Kill[];
  /** Of each node. */
  replies: Reply[][];
  rounds: RoundOutcome[];
  /** Of the undisturbed run, by round. */
  undisturbed: Map<number, Map<string, Float32Array>>;
  /** Runs that did not complete, in words. */
  broken: string[];
  nodeRestarts: number;
  /** Parts that ended by themselves. */
  ownExits: string[];
}

/** Kills parts of a suite at random moments while stock nodes train on it, until so many were killed and the last run is over. */
export async function besiege(folder: string, plan: SiegePlan, log: Log): Promise<SiegeReport> {
  await mkdir(folder, { recursive: true });
  const fortress = await buildFortress(plan.kind, folder);
  const { reach } = fortress.server;
  const nodes = RELEASES.map((release, partition) => {
    const { address, caFile } = reach;
    return new StockNode(release, { folder, address, caFile, partition, partitions: RELEASES.length });
  });
  try {
    const settings = { nodes: nodes.length, parameters: PARAMETERS, rounds: ROUNDS };
    const app = await writeApp(TEMPLATE, join(folder, 'app'), settings);
    await fortress.server.prepare(app);
    await Promise.all(nodes.map((node) => node.start()));
    return await new Siege(folder, plan, fortress, nodes, log).whole(app);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await fortress.server.stop();
  }
}

class Siege {
  readonly #folder: string;
  readonly #plan: SiegePlan;
  readonly #fortress: Fortress;
  readonly #nodes: StockNode[];
  readonly #log: Log;
  readonly #dice: Dice;
  readonly #report: Omit<SiegeReport, 'replies' | 'nodeRestarts'> = {
    kills: [],
    rounds: [],
    undisturbed: new Map(),
    broken: [],
    ownExits: [],
  };
  #begin = 0;

  constructor(folder: string, plan: SiegePlan, fortress: Fortress, nodes: StockNode[], log: Log) {
    this.#folder = folder;
    this.#plan = plan;
    this.#fortress = fortress;
    this.#nodes = nodes;
    this.#log = log;
    this.#dice = new Dice(plan.seed);
  }

  async whole(app: BenchApp): Promise<SiegeReport> {
    const { server } = this.#fortress;
    if (this.#plan.undisturbed) {
      const runId = await server.run(app);
      if (!(await this.#untilFinished(runId, false))) throw new Error(this.#report.broken.join());
      for (const { round, model } of await this.#outcomes(runId)) this.#report.undisturbed.set(round, model);
      this.#log(`  ${this.#plan.kind}: undisturbed run of ${this.#report.undisturbed.size} rounds is done`);
    }
    this.#begin = performance.now();
    const runs: bigint[] = [];
    while (this.#left > 0) {
      const runId = await server.run(app);
      runs.push(runId);
      if (!(await this.#untilFinished(runId, true))) break;
    }
    for (const runId of runs) this.#report.rounds.push(...(await this.#outcomes(runId)));
    const nodeRestarts = this.#nodes.reduce((sum, { restarts }) => sum + restarts, 0);
    return { ...this.#report, replies: this.#nodes.map((node) => node.replies()), nodeRestarts };
  }

  get #left(): number {
    return this.#plan.kills - this.#report.kills.length;
  }

  /** Bursts of kills with calm between them, in which the nodes' growing pauses come to an end. False if the run is stuck. */
  async #untilFinished(runId: bigint, disturbed: boolean): Promise<boolean> {
    let facts = await this.#show(runId);
    while (facts?.status !== 'finished') {
      if (disturbed && this.#left > 0) {
        const burst = Math.min(this.#left, Math.floor(this.#dice.between(3, 9)));
        for (let kill = 0; kill < burst; kill += 1) await this.#strike();
      }
      const moved = await this.#calm(disturbed && this.#left > 0 ? this.#dice.between(2, 7) * 1_000 : STUCK_MS);
      facts = await this.#show(runId);
      if (!moved && this.#left <= 0 && facts?.status !== 'finished') {
        this.#report.broken.push(`run ${runId} is stuck: ${JSON.stringify(facts)}`);
        return false;
      }
    }
    if (facts.subStatus !== 'completed') {
      this.#report.broken.push(`run ${runId} ended as ${facts.subStatus}: ${facts.details}`);
    }
    this.#log(`  ${this.#plan.kind}: run ${runId} ${facts.subStatus}; ${this.#report.kills.length} kills so far`);
    return true;
  }

  /** Half of the kills come at any time, half just after a node began to send. */
  async #strike(): Promise<void> {
    const dice = this.#dice;
    if (dice.chance(0.5)) await sleep(dice.between(100, 2_000));
    else {
      await this.#untilBegun(4_000);
      await sleep(dice.between(0, 600));
    }
    const victim = dice.pick(this.#fortress.victims);
    const acknowledged = this.#progress().acknowledged;
    await victim.kill();
    this.#report.kills.push({ at: (performance.now() - this.#begin) / 1_000, victim: victim.name, acknowledged });
    await sleep(dice.between(0, 1_200));
    await victim.raise();
    await this.#mend();
  }

  /** Waits until nodes sent something more and a while has passed; false if nothing moved for the whole time. */
  async #calm(milliseconds: number): Promise<boolean> {
    const before = this.#progress();
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
      await sleep(500);
      await this.#mend();
      const { acknowledged } = this.#progress();
      if (milliseconds === STUCK_MS && acknowledged > before.acknowledged) return true;
    }
    return this.#progress().acknowledged > before.acknowledged;
  }

  async #untilBegun(withinMs: number): Promise<void> {
    const before = this.#progress().begun;
    for (const end = performance.now() + withinMs; performance.now() < end; await sleep(30)) {
      if (this.#progress().begun > before) return;
    }
  }

  #progress(): { begun: number; acknowledged: number } {
    const each = this.#nodes.map((node) => node.progress());
    return {
      begun: each.reduce((sum, { begun }) => sum + begun, 0),
      acknowledged: each.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    };
  }

  async #mend(): Promise<void> {
    this.#report.ownExits.push(...(await this.#fortress.mend()));
    for (const node of this.#nodes) await node.keepAlive();
  }

  /** null while the suite is not back yet. */
  async #show(runId: bigint): Promise<RunFacts | null> {
    return await showRun(this.#folder, this.#fortress.server.reach, runId).catch(() => null);
  }

  /** Every finished round of a run with its model. */
  async #outcomes(runId: bigint): Promise<RoundOutcome[]> {
    const { reach } = this.#fortress.server;
    const { history } = await showRun(this.#folder, reach, runId);
    const outcomes: RoundOutcome[] = [];
    for (const { round, accepted } of history) {
      const model = await exportModel(this.#folder, reach, runId, round);
      outcomes.push({ run: `${runId}`, round, accepted, model });
    }
    return outcomes;
  }
}
