// What `aegis app import` found out by running an app's own ServerApp against a recording Grid: the plan document of
// PutPlan. Written by clients/python/aegis_fl; read here once, strictly, before it is stored.
import { AegisError } from '@aegis/errors';
import type { RecordDialect } from './record-dialect.ts';
import type { ConfigEntry, FlatConfig, Scalar } from './scalar.ts';

export interface CapturedPlan {
  readonly flwr: string;
  readonly appId: string;
  readonly appDigest: string;
  readonly records: RecordDialect;
  readonly rounds: number;
  readonly fractionTrain: number;
  readonly fractionEvaluate: number;
  readonly minTrainNodes: number;
  readonly minEvaluateNodes: number;
  readonly minAvailableNodes: number;
  readonly weightedByKey: string;
  readonly arrayRecordKey: string;
  readonly configRecordKey: string;
  readonly strategy: string;
  readonly strategyClass: string;
  readonly trainConfig: ConfigSchedule;
  readonly evaluateConfig: ConfigSchedule;
  readonly initialModel: 'captured' | 'node';
  readonly leftOut: readonly string[];
  /** The app's flattened config that the capture ran with. */
  readonly runConfig: FlatConfig;
  /** What a wrapper of Flower's for central differential privacy was set to; null: the strategy had none around it. */
  readonly privacy: CapturedPrivacy | null;
  /** Settings of Flower's SecAgg+, by the names of `SecAggPlusWorkflow` with hyphens; empty: the app has no such workflow. */
  readonly secagg: readonly ConfigEntry[];
}

export interface CapturedPrivacy {
  readonly clip: number;
  readonly noiseMultiplier: number;
  readonly denominator: number;
  /** The share of updates to leave unclipped; null: the clip stands. */
  readonly adaptiveClip: number | null;
}

/** One item per round, or a single item for round 0 when the config never varies. */
export type ConfigSchedule = readonly { readonly round: number; readonly entries: readonly ConfigEntry[] }[];

/** The entries for a round: its own item; else the last one captured before it; else the one for every round. */
export function configOfRound(schedule: ConfigSchedule, round: number): readonly ConfigEntry[] {
  let best: ConfigSchedule[number] | undefined;
  for (const item of schedule) {
    if (item.round <= round && (best === undefined || item.round > best.round)) best = item;
  }
  return best?.entries ?? [];
}

export function readCapturedPlan(json: string): CapturedPlan {
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch (cause) {
    throw new AegisError('PLAN_INVALID', 'The captured plan is not JSON.', cause);
  }
  const plan = new Reader(document, '');
  const schema = plan.integer('schema', 1);
  if (schema !== 1)
    throw refused('schema', `is ${schema}; this release reads 1. Import the app again with the matching aegis_fl.`);
  const result: CapturedPlan = {
    flwr: plan.text('flwr'),
    appId: plan.text('app-id'),
    appDigest: plan.text('app-digest'),
    records: plan.oneOf('records', ['message', 'legacy']),
    rounds: plan.integer('num-server-rounds', 1),
    fractionTrain: plan.fraction('fraction-train'),
    fractionEvaluate: plan.fraction('fraction-evaluate'),
    minTrainNodes: plan.integer('min-train-nodes', 0),
    minEvaluateNodes: plan.integer('min-evaluate-nodes', 0),
    minAvailableNodes: plan.integer('min-available-nodes', 0),
    weightedByKey: plan.text('weighted-by-key'),
    arrayRecordKey: plan.text('arrayrecord-key'),
    configRecordKey: plan.text('configrecord-key'),
    strategy: plan.text('strategy'),
    strategyClass: plan.text('strategy-class'),
    trainConfig: readSchedule(plan, 'train-config'),
    evaluateConfig: readSchedule(plan, 'evaluate-config'),
    initialModel: plan.oneOf('initial-model', ['captured', 'node']),
    leftOut: plan
      .list('left-out')
      .map((item, i) => (typeof item === 'string' ? item : plan.fail(`left-out[${i}]`, 'a text'))),
    runConfig: readRunConfig(plan),
    privacy: plan.has('privacy') ? readPrivacy(plan.take('privacy')) : null,
    secagg: plan.has('secagg') ? plan.list('secagg').map((item, i) => readEntry(item, `secagg[${i}].`)) : [],
  };
  plan.nothingElse();
  return result;
}

function readPrivacy(item: unknown): CapturedPrivacy {
  const privacy = new Reader(item, 'privacy.');
  const adaptiveClip = privacy.take('adaptive-clip');
  if (adaptiveClip !== null && typeof adaptiveClip !== 'number')
    throw privacy.fail('adaptive-clip', 'a number or null');
  const result = {
    clip: privacy.positive('clip'),
    noiseMultiplier: privacy.positive('noise-multiplier'),
    denominator: privacy.positive('denominator'),
    adaptiveClip,
  };
  privacy.nothingElse();
  return result;
}

function readSchedule(plan: Reader, key: string): ConfigSchedule {
  const rounds = new Set<number>();
  return plan.list(key).map((item, i) => {
    const at = new Reader(item, `${key}[${i}].`);
    const round = at.integer('round', 0);
    if (rounds.has(round)) throw refused(`${key}[${i}].round`, `is ${round}, which is there twice.`);
    rounds.add(round);
    const entries = at.list('entries').map((entry, j) => readEntry(entry, `${key}[${i}].entries[${j}].`));
    at.nothingElse();
    return { round, entries };
  });
}

function readEntry(item: unknown, path: string): ConfigEntry {
  const entry = new Reader(item, path);
  const key = entry.text('key');
  const type = entry.text('type');
  const read = entryTypes[type];
  if (read === undefined)
    throw refused(`${path}type`, `is ${JSON.stringify(type)}; known types: ${Object.keys(entryTypes).join(', ')}.`);
  const value = read(entry.take('value'));
  if (value === null) throw entry.fail('value', `a ${type}`);
  entry.nothingElse();
  return { key, value };
}

/** Flower's names of ConfigRecord values. Integers are decimal strings, bytes are base64. */
const entryTypes: Record<string, (value: unknown) => Scalar | null> = {
  double: (value) => one(readReal(value), (real) => ({ kind: 'real', value: real })),
  sint64: (value) => one(readInteger(value), (integer) => ({ kind: 'integer', value: integer })),
  uint64: (value) => one(readInteger(value), (integer) => ({ kind: 'integer', value: integer })),
  bool: (value) => (typeof value === 'boolean' ? { kind: 'flag', value } : null),
  string: (value) => (typeof value === 'string' ? { kind: 'text', value } : null),
  bytes: (value) => one(readBytes(value), (bytes) => ({ kind: 'data', value: bytes })),
  double_list: (value) => one(each(value, readReal), (list) => ({ kind: 'reals', value: list })),
  sint64_list: (value) => one(each(value, readInteger), (list) => ({ kind: 'integers', value: list })),
  uint64_list: (value) => one(each(value, readInteger), (list) => ({ kind: 'integers', value: list })),
  bool_list: (value) =>
    one(
      each(value, (item) => (typeof item === 'boolean' ? item : null)),
      (list) => ({ kind: 'flags', value: list }),
    ),
  string_list: (value) =>
    one(
      each(value, (item) => (typeof item === 'string' ? item : null)),
      (list) => ({ kind: 'texts', value: list }),
    ),
  bytes_list: (value) => one(each(value, readBytes), (list) => ({ kind: 'datas', value: list })),
};

function readRunConfig(plan: Reader): FlatConfig {
  const table = plan.take('run-config');
  if (typeof table !== 'object' || table === null || Array.isArray(table)) throw plan.fail('run-config', 'a table');
  const flat = new Map<string, Scalar>();
  for (const [key, value] of Object.entries(table)) {
    const typed = readTyped(value);
    if (typed === null) throw plan.fail(`run-config.${key}`, 'a number, a bool or a text');
    flat.set(key, typed);
  }
  return flat;
}

/** Either {"type", "value"} like a config entry, or the bare JSON value. */
function readTyped(value: unknown): Scalar | null {
  if (typeof value === 'boolean') return { kind: 'flag', value };
  if (typeof value === 'string') return { kind: 'text', value };
  if (typeof value === 'number') {
    return Number.isSafeInteger(value) ? { kind: 'integer', value: BigInt(value) } : { kind: 'real', value };
  }
  if (typeof value !== 'object' || value === null) return null;
  const { type, value: inner } = value as { type?: unknown; value?: unknown };
  return typeof type === 'string' ? (entryTypes[type]?.(inner) ?? null) : null;
}

class Reader {
  private readonly document: Record<string, unknown>;
  private readonly path: string;
  private readonly left: Set<string>;

  constructor(document: unknown, path: string) {
    if (typeof document !== 'object' || document === null || Array.isArray(document)) {
      throw refused(path.replace(/\.$/, '') || 'The captured plan', 'must be a table.');
    }
    this.document = document as Record<string, unknown>;
    this.path = path;
    this.left = new Set(Object.keys(document));
  }

  take(key: string): unknown {
    this.left.delete(key);
    if (!Object.hasOwn(this.document, key)) throw refused(`${this.path}${key}`, 'is missing.');
    return this.document[key];
  }

  text(key: string): string {
    const value = this.take(key);
    return typeof value === 'string' ? value : this.fail(key, 'a text');
  }

  integer(key: string, least: number): number {
    const value = this.take(key);
    return Number.isSafeInteger(value) && (value as number) >= least
      ? (value as number)
      : this.fail(key, `an integer of ${least} or more`);
  }

  /** Written by newer importers only. */
  has(key: string): boolean {
    return Object.hasOwn(this.document, key);
  }

  positive(key: string): number {
    const value = this.take(key);
    return typeof value === 'number' && value > 0 && Number.isFinite(value)
      ? value
      : this.fail(key, 'a number above 0');
  }

  fraction(key: string): number {
    const value = this.take(key);
    return typeof value === 'number' && value >= 0 && value <= 1 ? value : this.fail(key, 'a number from 0 to 1');
  }

  oneOf<T extends string>(key: string, values: readonly T[]): T {
    const value = this.take(key);
    return values.includes(value as T)
      ? (value as T)
      : this.fail(key, values.map((known) => JSON.stringify(known)).join(' or '));
  }

  list(key: string): unknown[] {
    const value = this.take(key);
    return Array.isArray(value) ? value : this.fail(key, 'a list');
  }

  nothingElse(): void {
    const [unknown] = this.left;
    if (unknown !== undefined) throw refused(`${this.path}${unknown}`, 'is not a key of captured plans.');
  }

  fail(key: string, wanted: string): never {
    throw refused(`${this.path}${key}`, `must be ${wanted}.`);
  }
}

const refused = (field: string, why: string): AegisError => new AegisError('PLAN_INVALID', `${field} ${why}`);

const one = <T>(value: T | null, make: (value: T) => Scalar): Scalar | null => (value === null ? null : make(value));

const readReal = (value: unknown): number | null => {
  if (typeof value === 'number') return value;
  // JSON has no words for these three; Python's float() and Number() agree on them
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : null;
};

const readInteger = (value: unknown): bigint | null => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : null;
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : null;
};

const readBytes = (value: unknown): Uint8Array | null => {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) return null;
  return Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0));
};

const each = <T>(value: unknown, read: (item: unknown) => T | null): T[] | null => {
  if (!Array.isArray(value)) return null;
  const list: T[] = [];
  for (const item of value) {
    const read1 = read(item);
    if (read1 === null) return null;
    list.push(read1);
  }
  return list;
};
