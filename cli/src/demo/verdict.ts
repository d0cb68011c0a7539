export interface Quality {
  readonly accuracy: number;
  readonly loss: number;
}

export interface Report {
  readonly federated: Quality;
  /** What each node reaches without the others. */
  readonly alone: readonly Quality[];
}

export interface Verdict {
  readonly holds: boolean;
  /** Why not; empty when it holds. */
  readonly complaints: string[];
  /** The demo's last line. */
  readonly line: string;
}

const leastAccuracy = 0.9;
const leastAdvantage = 0.05;

/** Was it worth it? The federated model must be good, and better than what any node has by itself. */
export function judge(report: Report, rounds: number, seconds: number): Verdict {
  const { accuracy } = report.federated;
  const best = Math.max(...report.alone.map((quality) => quality.accuracy));
  const complaints: string[] = [];
  if (!(accuracy >= leastAccuracy)) {
    complaints.push(`the held-out accuracy ${accuracy.toFixed(3)} is below ${leastAccuracy.toFixed(2)}`);
  }
  // Rounding errors of the subtraction must not decide.
  if (!(accuracy - best >= leastAdvantage - 1e-9)) {
    complaints.push(
      `it is not ${leastAdvantage} above the best single node's ${best.toFixed(3)} (${accuracy.toFixed(3)} - ${best.toFixed(3)} = ${(accuracy - best).toFixed(3)})`,
    );
  }
  const nodes = report.alone.length;
  const line = `demo: accuracy=${accuracy.toFixed(2)} rounds=${rounds} nodes=${nodes} seconds=${Math.round(seconds)}`;
  return { holds: complaints.length === 0, complaints, line };
}
