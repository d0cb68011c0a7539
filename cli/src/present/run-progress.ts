import type { RunEvent, RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import type { Terminal } from '../terminal.ts';
import { isFinished, roundLine } from './runs.ts';

/** Shows a run while it goes on: a lasting line per finished round, and on a terminal one line that says what is under way. */
export class RunProgress {
  readonly #terminal: Terminal;
  #printed = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(event: RunEvent): void {
    const { run } = event;
    if (run === undefined) return;
    for (const round of run.history) {
      // A round stands in the history after its training already; it is over when its evaluation is.
      if (round.round <= this.#printed || (round.round > run.round && !isFinished(run))) continue;
      this.#printed = round.round;
      this.#terminal.clearTransient();
      this.#terminal.line(roundLine(round, run.rounds));
    }
    if (isFinished(run)) this.#terminal.clearTransient();
    else this.#terminal.transient(underWay(event, run));
  }
}

function underWay(event: RunEvent, run: RunSummary): string {
  const done = event.nodes.filter(({ state }) => state !== 'waiting' && state !== 'recording').length;
  const nodes = event.nodes.length === 0 ? '' : `  ${done}/${event.nodes.length} nodes done`;
  return `round ${Math.min(run.round + 1, run.rounds)}/${run.rounds}  ${run.phase}${nodes}`;
}
