import { formatNumber } from './values.ts';

/** The captured plan as `aegis_fl` writes it; only what is shown here is named. */
export interface CapturedPlan {
  flwr?: string;
  'app-id'?: string;
  'app-digest'?: string;
  records?: string;
  'num-server-rounds'?: number;
  'fraction-train'?: number;
  'fraction-evaluate'?: number;
  'min-train-nodes'?: number;
  'min-evaluate-nodes'?: number;
  'min-available-nodes'?: number;
  'weighted-by-key'?: string;
  strategy?: string;
  'strategy-class'?: string;
  'initial-model'?: string;
  'train-config'?: ConfigOfRound[];
  'evaluate-config'?: ConfigOfRound[];
  'left-out'?: string[];
  privacy?: { clip: number; 'noise-multiplier': number; denominator: number; 'adaptive-clip': number | null };
  secagg?: { key: string; value: unknown }[];
}

interface ConfigOfRound {
  round: number;
  entries: { key: string; type: string; value: unknown }[];
}

export interface ArrayFacts {
  shape: number[];
}

/** What native mode will do, as rows of name and value. */
export function planRows(plan: CapturedPlan, arrays: readonly ArrayFacts[]): [string, string][] {
  const parameters = arrays.reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0);
  const model =
    plan['initial-model'] === 'node'
      ? 'asked from the first node'
      : `${arrays.length} arrays, ${parameters.toLocaleString('en')} numbers`;
  return [
    ['app', plan['app-id'] ?? ''],
    ['records', plan.records === 'legacy' ? 'legacy (NumPyClient)' : 'Message API'],
    ['strategy', `${plan.strategy ?? ''} (${plan['strategy-class'] ?? ''})`],
    ['rounds', String(plan['num-server-rounds'] ?? '')],
    ['initial model', model],
    ['train', share(plan['fraction-train'], plan['min-train-nodes'])],
    ['evaluate', share(plan['fraction-evaluate'], plan['min-evaluate-nodes'])],
    ['starts with', `${plan['min-available-nodes'] ?? ''} nodes online`],
    ['weighted by', plan['weighted-by-key'] ?? ''],
    ['train config', configText(plan['train-config'])],
    ['evaluate config', configText(plan['evaluate-config'])],
    ...privacyRows(plan.privacy),
    ...secaggRows(plan.secagg),
  ];
}

const privacyRows = (privacy: CapturedPlan['privacy']): [string, string][] =>
  privacy === undefined
    ? []
    : [
        [
          'private',
          `clip ${formatNumber(privacy.clip)}${privacy['adaptive-clip'] === null ? '' : ', adaptive'}, noise multiplier ${formatNumber(privacy['noise-multiplier'])}, sum divided by ${formatNumber(privacy.denominator)}`,
        ],
      ];

/** Against accidents only: the log of each run says what that means. */
const secaggRows = (secagg: CapturedPlan['secagg']): [string, string][] =>
  secagg === undefined
    ? []
    : [
        [
          'masked',
          `by Flower's SecAgg+, weak: ${secagg.map(({ key, value }) => `${key} ${valueText(value)}`).join(', ')}`,
        ],
      ];

const share = (fraction = 0, least = 0): string =>
  fraction === 0 ? 'never' : `${Math.round(fraction * 100)}% of the nodes, at least ${least}`;

function configText(configs: ConfigOfRound[] = []): string {
  const [first] = configs;
  if (first === undefined || first.entries.length === 0) return 'none';
  const entries = first.entries.map(({ key, value }) => `${key} = ${valueText(value)}`).join(', ');
  return configs.length > 1 ? `${entries} (round 1; varies with the round)` : entries;
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return formatNumber(value);
  if (Array.isArray(value)) return `[${value.length} values]`;
  const text = String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
