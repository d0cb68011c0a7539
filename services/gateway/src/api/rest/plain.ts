import type { RunSummary } from '../../domain/run.ts';
import type { ConfigEntry } from '../../domain/task.ts';
import type * as schemas from './schemas.ts';

type Plain = number | string | boolean;

/** Config and metrics as JSON: integers beyond 2^53 as decimal text, bytes as base64, what is no number as its name. */
export const plainOf = (entries: readonly ConfigEntry[]): Record<string, Plain | Plain[]> =>
  Object.fromEntries(
    entries.map(({ key, value: { value } }) => [key, Array.isArray(value) ? value.map(plain) : plain(value)]),
  );

export const plain = (value: number | bigint | boolean | string | Buffer): Plain => {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return Buffer.isBuffer(value) ? value.toString('base64') : value;
};

/** How a run goes, for whoever takes part in it. */
export const progressOf = ({ run, round, rounds, history }: RunSummary): schemas.RunProgress => ({
  runId: run.runId.toString(),
  appId: run.appId,
  status: run.status.status,
  subStatus: run.status.subStatus,
  round,
  rounds,
  history: history.map(({ round, cohort, accepted, refused, dropped, trainMetrics, evaluateMetrics }) => ({
    ...{ round, cohort, accepted, refused, dropped },
    trainMetrics: plainOf(trainMetrics),
    evaluateMetrics: plainOf(evaluateMetrics),
  })),
});
