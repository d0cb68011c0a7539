import type { RoundSummary, RunPrivacy, RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { formatMetrics, formatSeconds, formatTime, isoTime, type Plain, plainMetrics } from './values.ts';

export const runStatus = (summary: RunSummary): string => {
  const { status = '', subStatus = '' } = summary.run?.status ?? {};
  return subStatus === '' ? status : `${status}:${subStatus}`;
};

export const isFinished = (summary: RunSummary): boolean => summary.run?.status?.status === 'finished';
export const isCompleted = (summary: RunSummary): boolean => summary.run?.status?.subStatus === 'completed';

export const roundJson = (round: RoundSummary) => ({
  round: round.round,
  cohort: round.cohort,
  accepted: round.accepted,
  refused: round.refused,
  dropped: round.dropped,
  evaluated: round.evaluated,
  seconds: round.seconds,
  modelId: round.modelId,
  trainMetrics: plainMetrics(round.trainMetrics),
  evaluateMetrics: plainMetrics(round.evaluateMetrics),
  ...(round.privacy && { privacy: round.privacy }),
  ...(round.masking && { masking: round.masking }),
});

export const runJson = (summary: RunSummary) => ({
  runId: summary.run?.runId ?? 0n,
  app: summary.run?.appId ?? '',
  version: summary.run?.appVersion ?? '',
  appHash: summary.run?.appHash ?? '',
  federation: summary.run?.federation ?? '',
  ...(summary.run?.owner && { account: summary.run.owner.name }),
  status: summary.run?.status?.status ?? '',
  subStatus: summary.run?.status?.subStatus ?? '',
  details: summary.run?.status?.details ?? '',
  round: summary.round,
  rounds: summary.rounds,
  phase: summary.phase,
  modelId: summary.modelId,
  pendingAt: isoTime(summary.pendingAt),
  runningAt: isoTime(summary.runningAt),
  finishedAt: isoTime(summary.finishedAt),
  bytesSent: summary.bytesSent,
  bytesReceived: summary.bytesReceived,
  ...(summary.privacy && { privacy: summary.privacy }),
  ...(summary.masking && { masking: summary.masking }),
  ...(summary.consent && { consent: summary.consent }),
  history: summary.history.map(roundJson),
});

export const runHead = ['RUN', 'APP', 'STATUS', 'ROUND', 'STARTED', 'TOOK', 'LAST EVALUATION'];

export function runRow(summary: RunSummary, now: number): string[] {
  const evaluated = summary.history.filter((round) => round.evaluateMetrics.length > 0).at(-1);
  return [
    (summary.run?.runId ?? 0n).toString(),
    `${summary.run?.appId ?? ''} ${summary.run?.appVersion ?? ''}`.trim(),
    runStatus(summary),
    `${summary.round}/${summary.rounds}`,
    formatTime(summary.runningAt || summary.pendingAt),
    tookSeconds(summary, now),
    evaluated === undefined ? '' : formatMetrics(plainMetrics(evaluated.evaluateMetrics)),
  ];
}

function tookSeconds(summary: RunSummary, now: number): string {
  if (summary.runningAt === 0) return '';
  return formatSeconds((summary.finishedAt || now) - summary.runningAt);
}

export const roundHead = ['ROUND', 'COHORT', 'ACCEPTED', 'REFUSED', 'DROPPED', 'TOOK', 'TRAIN', 'EVALUATE', 'MODEL'];

export const roundRow = (round: RoundSummary): string[] => [
  round.round.toString(),
  ...(isSecret(round) ? ['secret', '', '', ''] : countsOf(round)),
  formatSeconds(round.seconds),
  formatMetrics(plainMetrics(round.trainMetrics)),
  formatMetrics(plainMetrics(round.evaluateMetrics)),
  round.modelId.slice(0, 12),
];

/** `5 shared keys, 4 delivered, opened by 4` */
export const maskingText = ({ masking }: RoundSummary): string =>
  masking === undefined
    ? ''
    : `${masking.shared} shared keys, ${masking.delivered} delivered, opened by ${masking.opened}`;

/** `ε 0.41 of 1 (δ 1e-5), 59 % left`. Never less ε, and never more left, than there is. */
export function privacyText({ epsilon, epsilonBudget, delta, left }: RunPrivacy): string {
  return `ε ${upwards(epsilon)} of ${epsilonBudget} (δ ${delta}), ${Math.floor(left * 100)} % left`;
}

const upwards = (epsilon: number): string => (Math.ceil(epsilon * 1000) / 1000).toFixed(3);

/** Of a round with a secret cohort nothing is told about its nodes. */
const isSecret = (round: RoundSummary): boolean => round.privacy !== undefined && round.cohort === 0;

const countsOf = ({ cohort, accepted, refused, dropped }: RoundSummary): string[] =>
  [cohort, accepted, refused, dropped].map(String);

const lossNames = ['eval_loss', 'loss', 'evaluate_loss', 'val_loss', 'test_loss'];
const accuracyNames = ['eval_acc', 'accuracy', 'eval_accuracy', 'acc', 'val_accuracy', 'test_accuracy'];

const firstNumber = (metrics: Record<string, Plain>, names: string[]): number | undefined =>
  names.map((name) => metrics[name]).find((value) => typeof value === 'number');

/** One line per round: `round 3/6  cohort 5  accepted 4  loss 0.4100  accuracy 0.930  12.3 s`. */
export function roundLine(round: RoundSummary, rounds: number): string {
  const metrics = { ...plainMetrics(round.trainMetrics), ...plainMetrics(round.evaluateMetrics) };
  const loss = firstNumber(metrics, lossNames);
  const accuracy = firstNumber(metrics, accuracyNames);
  const named = loss !== undefined || accuracy !== undefined;
  const hidden = isSecret(round);
  const parts = [
    `round ${round.round}/${rounds}`,
    hidden ? '' : `cohort ${round.cohort}`,
    hidden ? '' : `accepted ${round.accepted}`,
    round.refused === 0 ? '' : `refused ${round.refused}`,
    round.dropped === 0 ? '' : `dropped ${round.dropped}`,
    loss === undefined ? '' : `loss ${loss.toFixed(4)}`,
    accuracy === undefined ? '' : `accuracy ${accuracy.toFixed(3)}`,
    named ? '' : formatMetrics(metrics),
    round.privacy === undefined ? '' : `ε ${upwards(round.privacy.epsilon)}`,
    formatSeconds(round.seconds),
  ];
  return parts.filter((part) => part !== '').join('  ');
}
