import type { RunMasking, RunPrivacy, RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AegisError } from '@aegis/errors';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import type { Operator } from '../operator.ts';
import { parseId } from '../parse.ts';
import { maskingText, privacyText, roundHead, roundRow, runJson, runStatus } from '../present/runs.ts';
import { formatBytes, formatNumber, formatTime } from '../present/values.ts';
import type { Terminal } from '../terminal.ts';

export async function findRun(operator: Operator, runId: bigint): Promise<RunSummary> {
  const { runs } = await operator.call('listRuns', { runId, limit: 1, skip: 0 });
  const [run] = runs;
  if (run === undefined) throw new AegisError('RUN_NOT_FOUND', `${runId}.`);
  return run;
}

export const addRunsShow: AddCommand = (runs, context) =>
  withConnectionOptions(runs.command('show').description('one run with all its rounds'))
    .argument('<id>', 'run id', parseId)
    .action(async (runId: bigint, options: ConnectionOptions) => {
      const { terminal } = context();
      const summary = await withOperator(options, context(), (operator) => findRun(operator, runId));
      terminal.result(runJson(summary));
      show(terminal, summary);
    });

const privacyFacts = (privacy: RunPrivacy | undefined): [string, string][] =>
  privacy === undefined
    ? []
    : [
        ['privacy', `${privacyText(privacy)}, per ${privacy.unit}, data set ${privacy.dataset}`],
        [
          'noise',
          `multiplier ${formatNumber(privacy.noiseMultiplier)}, clip ${formatNumber(privacy.clip)}, sampling ${privacy.sampling}`,
        ],
      ];

const maskingFacts = (masking: RunMasking | undefined): [string, string][] => {
  if (masking === undefined) return [];
  const { clip, valueBits, weightMax, metrics, dropouts, colluders, limits } = masking;
  if (limits.length > 0)
    return [
      [
        'masked',
        `by Flower's own SecAgg+, clip ${formatNumber(clip)}: against accidents, not against somebody who looks`,
      ],
      ...limits.map((limit): [string, string] => ['weak', limit]),
    ];
  const weights = weightMax === 1n ? 'equal weights' : `weights up to ${weightMax}`;
  const said = metrics.length === 0 ? 'no metrics' : `metrics ${metrics.join(', ')}`;
  return [
    ['masked', `only sums are opened: ${valueBits} bits a value, clip ${formatNumber(clip)}, ${weights}, ${said}`],
    ['assumed', `${formatNumber(dropouts * 100)} % drop out, ${formatNumber(colluders * 100)} % work with the server`],
  ];
};

function show(terminal: Terminal, summary: RunSummary): void {
  const facts = [
    ['run', (summary.run?.runId ?? 0n).toString()],
    ['app', `${summary.run?.appId ?? ''} ${summary.run?.appVersion ?? ''}`],
    ['status', runStatus(summary)],
    ['details', summary.run?.status?.details ?? ''],
    ['round', `${summary.round} of ${summary.rounds}`],
    ['phase', summary.phase],
    ['started', formatTime(summary.runningAt || summary.pendingAt)],
    ['finished', formatTime(summary.finishedAt)],
    ...privacyFacts(summary.privacy),
    ...(summary.consent
      ? [['consent', `${summary.consent.purpose}, version ${summary.consent.version}`] as [string, string]]
      : []),
    ...maskingFacts(summary.masking),
    ['model', summary.modelId],
    ['sent', formatBytes(summary.bytesSent)],
    ['received', formatBytes(summary.bytesReceived)],
  ].filter(([, value]) => value !== '') as [string, string][];
  for (const [name, value] of facts) terminal.line(`${terminal.style('bold', name.padEnd(9))} ${value}`);
  terminal.line();
  const masked = summary.masking !== undefined;
  const head = masked ? [...roundHead, 'MASKED'] : roundHead;
  const rows = summary.history.map((round) => [...roundRow(round), ...(masked ? [maskingText(round)] : [])]);
  terminal.table(head, rows, 'No round is finished yet.');
}
