import { z } from 'zod';
import { nodeLimits } from '../node/limits.ts';

// What /api/v1 takes and answers. docs/openapi.json is made from these.

export const uint64 = z.string().regex(/^(0|[1-9]\d{0,19})$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().min(0);
export const taskId = z.string().regex(/^[0-9A-Za-z_-]{1,64}$/);

/** Integers beyond 2^53 as decimal text, bytes as base64. */
const scalar = z.union([z.number(), z.string(), z.boolean()]);

export const registration = z.strictObject({
  /** For people. */
  name: z
    .string()
    .max(nodeLimits.clientName)
    .regex(/^[\x20-\x7e]*$/)
    .default(''),
  /** Silent for twice as long while it works, the node is offline and its task given up. Without work it must ask within 60 seconds. */
  heartbeatSeconds: z.number().int().min(10).max(1800).default(300),
  /** Token of `aegis nodes invite`: needed where nodes may not register themselves. Good once. */
  invitation: z.string().max(100).optional(),
  /**
   * With an invitation: random text of your own making. Asking again with both gives the same node and secret, should the first answer
   * have been lost; without it, an answer that was lost costs the invitation.
   */
  claim: z
    .string()
    .min(22)
    .max(200)
    .regex(/^[\x21-\x7e]*$/)
    .optional(),
});

export type Registration = z.infer<typeof registration>;

export const registered = z.strictObject({
  nodeId: uint64,
  /** Told this once. Its characters, as they are, are the key of HMAC-SHA256. */
  secret: z.string(),
});

export const nonceAnswer = z.strictObject({ nonce: z.string(), seconds: count });

export const waiting = z.strictObject({
  /** Answered the moment there is a task, at the latest then; the server may answer earlier. */
  wait: z
    .string()
    .regex(/^\d{1,2}(\.\d{1,3})?$/, 'Seconds in decimal.')
    .transform(Number)
    .pipe(z.number().min(0).max(25))
    .default(0),
});

const task = z.strictObject({
  taskId,
  runId: uint64,
  round: count,
  kind: z.enum(['train', 'evaluate']),
  config: z.record(z.string(), z.union([scalar, z.array(scalar)])),
  model: z.strictObject({
    modelId: z.string(),
    tensors: z.array(z.strictObject({ name: z.string(), dtype: z.string(), shape: z.array(count) })),
  }),
  /** Until the round no longer waits; null = it has no deadline. */
  secondsLeft: z.number().nullable(),
});
export type RestTask = z.infer<typeof task>;
export const taskAnswer = z.strictObject({ task: task.nullable() });
/** `task`: to be done; `withdrawn`: no longer. */
export const taskEvent = z.union([task, z.strictObject({ taskId })]);

const fileFormat = z.enum(['npz', 'safetensors']);
export const modelQuery = z.strictObject({ task: taskId, format: fileFormat.default('npz') });

export const slice = z.strictObject({
  sha256,
  offset: count.default(0),
  length: count,
});

export const tensor = z.strictObject({ name: z.string().max(1_000), slices: z.array(slice).min(1) });

export const file = z.strictObject({
  /** npz: as numpy.savez writes it, not compressed. */
  format: fileFormat,
  slices: z.array(slice).min(1),
});

const encodedName = z.string().max(1_000);
/** A tensor that other arrays of the file stand for, by their names. */
export const encoding = z.discriminatedUnion('as', [
  z.strictObject({
    as: z.literal('quantised'),
    name: encodedName,
    /** What the integers become: the tensor's new values, or what is added to the task's model. */
    of: z.enum(['weights', 'difference']),
    /** Integers of the tensor's shape. They stand for (values - zeroPoint) * scale. */
    values: encodedName,
    /** One float for all, or one for every index of the first axis. */
    scale: encodedName,
    /** As many as scales, of the values' type; 0 when there is none. */
    zeroPoint: encodedName.optional(),
  }),
  z.strictObject({
    as: z.literal('sparse'),
    name: encodedName,
    /** Where something is added to the task's model: places in the flattened tensor (C order), ascending. */
    indices: encodedName,
    /** What is added there. */
    values: encodedName,
  }),
]);
export type Encoding = z.infer<typeof encoding>;
const MOST_ENCODED = 10_000;
export const encodings = z.array(z.unknown()).min(1).max(MOST_ENCODED);

export const manifest = z.strictObject({
  /** Each is one complete .npy file, cut into parts of at most 1 MiB: its slices, joined. Empty for an evaluation. */
  tensors: z.array(tensor).max(nodeLimits.tensors).default([]),
  /** Instead of tensors: one file with all arrays, cut into parts of at most 1 MiB. */
  file: file.optional(),
  /** With a file: tensors that are in it sparse or quantised. */
  encoded: z.array(encoding).min(1).max(MOST_ENCODED).optional(),
  /** Weighs this answer. */
  numExamples: z.number().positive(),
  metrics: z.record(z.string().max(200), z.number()).default({}),
  runtimeSeconds: z.number().min(0).default(0),
});
export type Manifest = z.infer<typeof manifest>;

export const updateAnswer = z.strictObject({
  /** incomplete: send what is missing, then the same manifest again. */
  status: z.enum(['incomplete', 'accepted']),
  missing: z.array(sha256),
});

export const partAnswer = z.strictObject({ stored: z.literal(true) });

export const failure = z.strictObject({ reason: z.string().max(nodeLimits.reason) });
export const failed = z.strictObject({ failed: z.literal(true) });

const metrics = z.record(z.string(), z.union([scalar, z.array(scalar)]));
const progress = z.strictObject({
  runId: uint64,
  appId: z.string(),
  status: z.string(),
  subStatus: z.string(),
  round: count,
  rounds: count,
  history: z.array(
    z.strictObject({
      round: count,
      cohort: count,
      accepted: count,
      refused: count,
      dropped: count,
      trainMetrics: metrics,
      evaluateMetrics: metrics,
    }),
  ),
});
export type RunProgress = z.infer<typeof progress>;
export const stats = z.strictObject({
  /** Those that the node has tasks of, or answered within the hour. */
  runs: z.array(progress),
});

// What operators see.

const whole = z
  .string()
  .regex(/^\d{1,6}$/, 'A whole number in decimal.')
  .transform(Number)
  .pipe(count);
export const page = z.strictObject({
  /** Newest first; 0 = all. */
  limit: whole.default(100),
  skip: whole.default(0),
});
/** Not a number where there is no bound: "Infinity". */
const epsilon = z.union([z.number(), z.string()]);
const time = z.iso.datetime().nullable();
const run = progress.extend({
  appVersion: z.string(),
  details: z.string(),
  phase: z.string(),
  /** Of the newest model; empty: there is none. */
  modelId: z.string(),
  startedAt: time,
  finishedAt: time,
  /** Account that started it. */
  owner: z.string().nullable(),
  /** null: it promises nothing. */
  privacy: z
    .strictObject({ dataset: z.string(), unit: z.string(), epsilon, epsilonBudget: epsilon, delta: z.number() })
    .nullable(),
});
export type RestRun = z.infer<typeof run>;
export const runs = z.strictObject({ runs: z.array(run) });
export const runEvent = z.strictObject({
  run,
  message: z.string(),
  nodes: z.array(z.strictObject({ nodeId: uint64, state: z.string(), reason: z.string() })),
});

const node = z.strictObject({
  nodeId: uint64,
  name: z.string(),
  state: z.string(),
  dialect: z.string(),
  flwrVersion: z.string(),
  /** Subject; empty: it showed none. */
  certificate: z.string(),
  masks: z.boolean(),
  registeredAt: time,
  lastSeenAt: time,
});
export type RestNode = z.infer<typeof node>;
export const nodes = z.strictObject({ nodes: z.array(node) });

export const budgetQuery = z.strictObject({
  /** Those of single nodes and users, too, under their pseudonyms. */
  units: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .pipe(z.boolean())
    .default(false),
});
const budget = z.strictObject({
  kind: z.enum(['run', 'dataset', 'unit']),
  name: z.string(),
  partition: z.string(),
  epsilonBudget: epsilon,
  delta: z.number(),
  /** Spent, reservations included. */
  epsilon,
  /** Share of the budget, 0 to 1. */
  used: z.number(),
  reserved: count,
  committed: count,
});
export type RestBudget = z.infer<typeof budget>;
/** `defaults`: what holds where nobody set one. */
export const budgets = z.strictObject({ budgets: z.array(budget), defaults: z.array(budget) });

/** RFC 9457. */
export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: count,
  detail: z.string(),
  /** Of docs/errors.md. */
  code: z.string(),
  /** What to do about it. */
  do: z.string(),
});

const purpose = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/);
const version = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);
const statement = {
  /** false: withdrawn, or, of a run, declined whatever its purpose. */
  given: z.boolean(),
  /** Of the text that is agreed to: needed when it is given. */
  version: version.optional(),
};
export const consentStatement = z.union([
  z.strictObject({ purpose, ...statement }),
  z.strictObject({ run: uint64, ...statement }),
]);
export type RestConsentStatement = z.infer<typeof consentStatement>;

const consent = { version: z.string(), given: z.boolean(), /** ISO 8601: when it was said. */ at: z.iso.datetime() };
export const consents = z.strictObject({
  consents: z.array(z.union([z.strictObject({ purpose, ...consent }), z.strictObject({ run: uint64, ...consent })])),
});
