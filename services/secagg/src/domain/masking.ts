import { AegisError } from '@aegis/errors';

/** A node's id as the protocol writes it: decimal. */
export type NodeId = string;

/** One attempt at a round. `round` is that of the terms: no two attempts of a run share one. */
export interface RoundRef {
  readonly runId: string;
  readonly round: string;
}

export interface Participant {
  readonly taskId: string;
  readonly node: NodeId;
}

/** What every node signs and derives over, as the core spells it. */
export interface Terms {
  readonly run: string;
  readonly round: string;
  readonly plan: string;
  readonly degree: number;
  readonly threshold: number;
  readonly minSurvivors: number;
  readonly bits: number;
  readonly length: string;
}

/** What a round is about. It never changes. */
export interface Opened {
  readonly ref: RoundRef;
  readonly terms: Terms;
  /** Assumed fraction that works with the server. */
  readonly colluders: number;
  readonly stageSeconds: number;
  readonly cohort: readonly Participant[];
  /** SHA-256 of what the nodes start from, hex. */
  readonly modelId: string;
  readonly traceparent: string;
}

const SHA256 = /^[0-9a-f]{64}$/;
/** The core's largest cohort. */
const MOST_NODES = 65_536;

/** Throws REQUEST_MALFORMED for what no plan can be. Parameters are the aggregator's choice and every node's own judgement. */
export const checkOpened = ({ terms, colluders, stageSeconds, cohort, modelId }: Opened): void => {
  const wrong = [
    [!SHA256.test(modelId), 'model_id is no SHA-256'],
    [!SHA256.test(terms.plan), 'masking.plan is no SHA-256'],
    [!(colluders >= 0 && colluders < 1), `masking.colluders is ${colluders}`],
    [!(stageSeconds > 0 && stageSeconds < 86_400), `masking.stage_seconds is ${stageSeconds}`],
    [terms.threshold < 2 || terms.threshold > terms.degree + 1, `${terms.threshold} of ${terms.degree + 1} shares`],
    [terms.minSurvivors < 2, `a sum of ${terms.minSurvivors} nodes hides nobody`],
    [cohort.length < terms.minSurvivors || cohort.length > MOST_NODES, `a cohort of ${cohort.length} nodes`],
    [new Set(cohort.map(({ node }) => node)).size !== cohort.length, 'a node is there twice'],
    [new Set(cohort.map(({ taskId }) => taskId)).size !== cohort.length, 'a task is there twice'],
  ].find(([isWrong]) => isWrong);
  if (wrong) throw new AegisError('REQUEST_MALFORMED', `No masked round: ${wrong[1]}.`);
};

/** The same content, whoever asks and in whichever trace. */
export const isSameRound = (one: Opened, other: Opened): boolean => identity(one) === identity(other);

const identity = ({ traceparent: _traceparent, ...opened }: Opened): string => JSON.stringify(opened);

/**
 * Signatures of which two different sets of survivors cannot both have enough: 2·quorum > roster + colluders. A node counts with its own
 * owner's assumption, and may ask for more.
 */
export const quorumOf = (roster: number, colluders: number): number => {
  // a hair below, so that a third of three is one and not two
  const against = Math.max(Math.ceil(roster * colluders - 1e-9), 0);
  return Math.floor((roster + against) / 2) + 1;
};
