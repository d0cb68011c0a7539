// What a run will do, decided and checked whole before its first message. Sources, strongest first: what `flwr run`
// overrides, what `aegis app import` captured, the app's own config, Flower's defaults. `aegis.*` is ours alone.
import { AegisError } from '@aegis/errors';
import { type CapturedPlan, type ConfigSchedule, configOfRound } from './captured-plan.ts';
import { type Sampling, smallestCohort } from './cohort.ts';
import { type ConsentTerms, consentNotes, readConsent } from './consent.ts';
import { type FlowerSecaggPlan, flowerSecaggNotes, readFlowerSecagg } from './flower-secagg/plan.ts';
import {
  capturedValues,
  checkVocabulary,
  EVALUATE_CONFIG,
  isAegisKey,
  isFlowerKey,
  PlanValues,
  quote,
  refused,
  TRAIN_CONFIG,
} from './plan-values.ts';
import { evaluatesInTheClear, type PrivacyPlan, privacyNotes, readPrivacy } from './privacy-plan.ts';
import type { RecordDialect } from './record-dialect.ts';
import {
  type ConfigEntry,
  convertScalar,
  type FlatConfig,
  integer,
  mergeEntries,
  real,
  type Scalar,
  sameScalar,
  showScalar,
} from './scalar.ts';
import { readSecagg, type SecaggPlan, secaggNotes } from './secagg-plan.ts';

export type TaskKind = 'train' | 'evaluate' | 'initial-model';

export interface RecordLayout {
  readonly dialect: RecordDialect;
  readonly arrayRecordKey: string;
  readonly configRecordKey: string;
  readonly weightedByKey: string;
}

export type InitialModel =
  | { readonly from: 'model'; readonly modelId: string }
  | { readonly from: 'named'; readonly name: string }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'run'; readonly runId: bigint; readonly round: number }
  | { readonly from: 'node' };

export interface Plan {
  readonly strategy: 'fedavg';
  readonly rounds: number;
  readonly layout: RecordLayout;
  readonly train: Sampling;
  readonly evaluate: Sampling & { readonly every: number };
  /** Answers that close a round; null: every selected node's, or at the deadline those of `train.minNodes`. */
  readonly minReport: number | null;
  readonly deadlineSeconds: number;
  readonly trainConfig: ConfigSchedule;
  readonly evaluateConfig: ConfigSchedule;
  readonly initialModel: InitialModel;
  /** Clients without identity (Flower's start_client) may take part. */
  readonly join: boolean;
  /** Only nodes that agreed to this are asked. Absent: all that are there. */
  readonly consent?: ConsentTerms | undefined;
  /** Absent: the run promises nothing. */
  readonly privacy?: PrivacyPlan | undefined;
  /** Absent: answers travel in the clear. */
  readonly secagg?: SecaggPlan | undefined;
  /** Training is masked by the nodes' own apps, as Flower does it: {@link FlowerSecaggPlan}. Never beside `secagg`. */
  readonly flowerSecagg?: FlowerSecaggPlan | undefined;
}

export interface PlanSources {
  readonly appId: string;
  readonly appConfig: FlatConfig;
  readonly overrides: FlatConfig;
  readonly captured: { readonly plan: CapturedPlan; readonly modelId: string | null } | null;
  /** What the clientapp's source shows; null when it shows neither style, or both. */
  readonly detectedDialect: RecordDialect | null;
}

const DEFAULT_DEADLINE_SECONDS = 600;
const WEEK_SECONDS = 604_800;

/** True when the config alone says enough for a run without an imported plan. */
export const configCarriesPlan = (appConfig: FlatConfig, overrides: FlatConfig): boolean =>
  appConfig.has('aegis.initial-model') || overrides.has('aegis.initial-model');

/** The plan, and what its owner should know about it: one line each. */
export function buildPlan(sources: PlanSources): { plan: Plan; notes: string[] } {
  const { appConfig, overrides, captured } = sources;
  checkVocabulary(appConfig, overrides);
  const known = captured?.plan;
  const masking = overrides.get('aegis.secagg.mode') ?? appConfig.get('aegis.secagg.mode');
  const value = new PlanValues(appConfig, overrides, known === undefined ? new Map() : capturedValues(known, masking));

  const strategy = value.text('aegis.strategy', 'fedavg');
  if (strategy !== 'fedavg') {
    const origin = known?.strategy === strategy ? ` (imported: ${known.strategyClass})` : '';
    throw refused('aegis.strategy', `is ${quote(strategy)}${origin}; known strategies: "fedavg".`);
  }
  const dialect = readDialect(value, sources.detectedDialect);
  const layout: RecordLayout = {
    dialect,
    weightedByKey: readWeightKey(value),
    arrayRecordKey: value.text('arrayrecord-key', 'arrays'),
    configRecordKey: value.text('configrecord-key', 'config'),
  };
  const minAvailable = value.integer('min-available-nodes', 0, 1_000_000, 2);
  const overSelect = value.real('aegis.selection.over-select', 1, 10, 1);
  const train: Sampling = {
    fraction: value.real('fraction-train', 0, 1, 1),
    minNodes: value.integer('min-train-nodes', 0, 1_000_000, 2),
    minAvailable,
    overSelect,
  };
  const fractionEvaluate = value.real('fraction-evaluate', 0, 1, 1);
  const evaluate = {
    fraction: fractionEvaluate,
    minNodes: value.integer('min-evaluate-nodes', 0, 1_000_000, 2),
    minAvailable,
    overSelect: 1,
    every: value.integer('aegis.evaluate.every', 1, 1_000_000, 1),
  };
  checkTraining(train, dialect);
  const minReport = readMinReport(value, train);
  const rounds = value.integer('num-server-rounds', 1, 100_000, undefined);
  const privacy = readPrivacy(value, train, rounds) ?? undefined;
  const silent = privacy !== undefined && !evaluatesInTheClear(value);
  const initialModel = readInitialModel(value, dialect, sources);
  if (privacy !== undefined && initialModel.from === 'node')
    throw refused(
      'aegis.initial-model',
      'is "node", but in a private run what a node sends leaves clipped and noised only: import a first model, or name a stored one.',
    );
  const other = { privacy, firstFromNode: initialModel.from === 'node' };
  const byFlower = value.text('aegis.secagg.mode', 'off') === 'flower';
  const secagg = byFlower ? undefined : (readSecagg(value, train, other) ?? undefined);
  const flowerSecagg = byFlower
    ? readFlowerSecagg(value, train, { isPrivate: privacy !== undefined, dialect })
    : undefined;
  const consent = readConsent(value) ?? undefined;
  const notes = known === undefined ? [] : compareWithCapture(known, overrides);
  const plan: Plan = {
    strategy,
    rounds,
    layout,
    train,
    evaluate: silent ? { ...evaluate, fraction: 0 } : evaluate,
    minReport,
    deadlineSeconds: value.real('aegis.selection.deadline', 1, WEEK_SECONDS, DEFAULT_DEADLINE_SECONDS),
    trainConfig: schedule(known?.trainConfig, known, overrides, value.below(TRAIN_CONFIG)),
    evaluateConfig: schedule(known?.evaluateConfig, known, overrides, value.below(EVALUATE_CONFIG)),
    initialModel,
    join: value.flag('aegis.join', false),
    ...(consent && { consent }),
    ...(privacy && { privacy }),
    ...(secagg && { secagg }),
    ...(flowerSecagg && { flowerSecagg }),
  };
  const evaluation = fractionEvaluate === 0 ? 'off' : silent ? 'unasked' : 'clear';
  if (consent !== undefined) notes.push(...consentNotes(consent));
  if (privacy !== undefined) notes.push(...privacyNotes(privacy, train, evaluation, rounds));
  if (secagg !== undefined) notes.push(...secaggNotes(secagg));
  if (flowerSecagg !== undefined) notes.push(...flowerSecaggNotes(flowerSecagg));
  for (const item of known?.leftOut ?? []) notes.push(`left out in native mode: ${item}`);
  return { plan, notes };
}

/** What a node is told in a round. Message apps find the round under Flower's own key; legacy apps get exactly what was captured. */
export function taskConfig(
  plan: Plan,
  kind: TaskKind,
  round: number,
  privacy?: { readonly clip: number } | undefined,
): readonly ConfigEntry[] {
  if (kind === 'initial-model') return [];
  const planned = configOfRound(kind === 'train' ? plan.trainConfig : plan.evaluateConfig, round);
  const entries =
    privacy === undefined ? planned : mergeEntries(planned, [{ key: CLIPPING_NORM, value: real(privacy.clip) }]);
  return plan.layout.dialect === 'legacy'
    ? entries
    : mergeEntries(entries, [{ key: 'server-round', value: integer(round) }]);
}

/** Where Flower's fixedclipping_mod and adaptiveclipping_mod look for the clip (flwr.clientapp.mod, flwr.client.mod). */
const CLIPPING_NORM = 'clipping_norm';

/** Only keys that the app's config has (a SuperNode dies of any other), and never ours. */
export const overridesForNodes = (appConfig: FlatConfig, overrides: FlatConfig): ConfigEntry[] =>
  [...overrides].filter(([key]) => appConfig.has(key) && !isAegisKey(key)).map(([key, value]) => ({ key, value }));

function readWeightKey(value: PlanValues): string {
  const key = value.text('weighted-by-key', 'num-examples');
  if (key === '') throw refused('weighted-by-key', 'is ""; it must name the metric that updates are weighted by.');
  return key;
}

function readDialect(value: PlanValues, otherwise: RecordDialect | null): RecordDialect {
  const chosen = value.text('aegis.records', otherwise ?? '');
  if (chosen === 'message' || chosen === 'legacy') return chosen;
  if (chosen !== '') throw refused('aegis.records', `is ${quote(chosen)}; it must be "message" or "legacy".`);
  throw refused(
    'aegis.records',
    'is needed: the clientapp\'s source does not show whether it uses @app.train() ("message") or client_fn ("legacy").',
  );
}

function checkTraining(train: Sampling, dialect: RecordDialect): void {
  if (train.fraction === 0 && dialect === 'message') {
    throw refused('fraction-train', 'is 0: no node would ever train.');
  }
  if (smallestCohort(train).size === 0) {
    throw refused(
      'min-train-nodes',
      `is 0, and fraction-train × min-available-nodes = ${train.fraction} × ${train.minAvailable} rounds down to 0: no node would be selected.`,
    );
  }
}

function readMinReport(value: PlanValues, train: Sampling): number | null {
  const least = smallestCohort(train);
  const wanted =
    value.find('aegis.selection.min-report') === undefined
      ? null
      : value.integer('aegis.selection.min-report', 1, 1_000_000, 1);
  if (wanted !== null && wanted > least.size) {
    const share = `max(int(${least.online} × ${train.fraction}), ${train.minNodes}) = ${least.wanted}`;
    const over =
      train.overSelect > 1
        ? `, × over-select ${train.overSelect} of at most ${least.online} online = ${least.size}`
        : '';
    throw refused(
      'aegis.selection.min-report',
      `is ${wanted}, but a round may select as few as ${least.size} nodes: ${share}${over}. Raise min-train-nodes or lower min-report.`,
    );
  }
  return wanted;
}

function readInitialModel(value: PlanValues, dialect: RecordDialect, sources: PlanSources): InitialModel {
  const key = 'aegis.initial-model';
  const { captured } = sources;
  const choice = value.text(key, captured === null ? '' : captured.plan.initialModel === 'node' ? 'node' : 'imported');
  if (choice === 'imported') {
    if (captured?.modelId) return { from: 'model', modelId: captured.modelId };
    throw new AegisError(
      'PLAN_MISSING',
      `${key} is "imported", but no initial model of ${sources.appId} was imported. Type: aegis app import <DIR>`,
    );
  }
  if (choice === 'node') {
    if (dialect === 'legacy') return { from: 'node' };
    throw refused(key, 'is "node", but only legacy apps (client_fn) can be asked for a first model.');
  }
  if (choice.startsWith('file:')) {
    const path = choice.slice('file:'.length);
    if (/\.(npz|safetensors)$/.test(path)) return { from: 'file', path };
    throw refused(key, `is ${quote(choice)}; the file must end in .npz or .safetensors.`);
  }
  if (choice.startsWith('model:') && choice.length > 'model:'.length)
    return { from: 'named', name: choice.slice('model:'.length) };
  const run = /^run:(\d{1,20})@(\d{1,6})$/.exec(choice);
  if (run !== null) return { from: 'run', runId: BigInt(run[1] as string), round: Number(run[2]) };
  throw refused(
    key,
    `is ${quote(choice)}; it must be "imported", "file:init.npz", "model:NAME", "model:SHA256", "run:ID@ROUND" or "node".`,
  );
}

/** The captured config, with the values this run overrides under the same key, with our own entries on top. */
function schedule(
  captured: ConfigSchedule | undefined,
  known: CapturedPlan | undefined,
  overrides: FlatConfig,
  extra: ConfigEntry[],
): ConfigSchedule {
  const base = captured === undefined || captured.length === 0 ? [{ round: 0, entries: [] }] : captured;
  const overridden = (entry: ConfigEntry): ConfigEntry => {
    const now = known?.runConfig.has(entry.key) ? overrides.get(entry.key) : undefined;
    if (now === undefined) return entry;
    const value = convertScalar(now, entry.value.kind);
    if (value === null)
      throw refused(
        entry.key,
        `is overridden by ${showScalar(now)}, but the app sends ${showScalar(entry.value)}: another type.`,
      );
    return { key: entry.key, value };
  };
  return base.map((item) => ({ round: item.round, entries: mergeEntries(item.entries.map(overridden), extra) }));
}

function compareWithCapture(known: CapturedPlan, overrides: FlatConfig): string[] {
  const notes: string[] = [];
  const sent = new Set(
    [...known.trainConfig, ...known.evaluateConfig].flatMap((item) => item.entries.map((entry) => entry.key)),
  );
  for (const [key, now] of overrides) {
    const then = known.runConfig.get(key);
    if (then === undefined || isAegisKey(key) || isFlowerKey(key) || sameValue(then, now)) continue;
    const change = `${key} is ${showScalar(now)} in this run, ${showScalar(then)} when the app was imported`;
    notes.push(
      sent.has(key)
        ? `${change}; the nodes are sent the new value.`
        : `${change}; what the ServerApp made of it stays as imported. To capture it anew: aegis app import <DIR> --run-config "${key}=…"`,
    );
  }
  return notes;
}

/** Integers and reals of the same size are the same here: JSON forgets which one 1.0 was. */
const sameValue = (a: Scalar, b: Scalar): boolean => sameScalar(a, convertScalar(b, a.kind) ?? b);
