import type { KeyObject } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { loadConfig } from '@aegis/service-kit';
import { z } from 'zod';
import type { Policy } from './domain/policy.ts';
import { readTrustedEntities } from './trusted-entities.ts';

const pattern = z.string().min(1).max(200);
const hash = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex');
const kind = z.enum(['train', 'evaluate', 'initial-model']);
const MIB = 2 ** 20;

const rangeRule = z.union([
  pattern.transform((name) => ({ name, min: -Number.MAX_VALUE, max: Number.MAX_VALUE })),
  z
    .strictObject({
      name: pattern,
      min: z.number().default(-Number.MAX_VALUE),
      max: z.number().default(Number.MAX_VALUE),
    })
    .refine(({ min, max }) => min <= max, 'min is above max'),
]);

const purpose = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be lower-case letters, digits and ._-');
const version = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits and ._-; in quotes');
const positive = z.number().positive();
const localNoise = z.union(
  [
    z.strictObject({ clip: positive, sigma: positive }),
    z.strictObject({ clip: positive, epsilon: positive, delta: positive.lt(1) }),
  ],
  'must have clip, and either sigma or epsilon and delta',
);

/** The data owner's policy file. Every key is shown and explained in policy.example.yaml. */
export const policyFile = z
  .strictObject({
    apps: z.array(pattern).min(1),
    'app-hashes': z.array(hash).optional(),
    runs: z.array(z.string().regex(/^\d{1,20}$/, 'must be a run id in quotes')).optional(),
    kinds: z.array(kind).default(['train', 'evaluate']),
    'require-signed-app': z.boolean().default(false),
    'trusted-entities': z.string().min(1).optional(),
    'require-masking': z.boolean().default(false),
    masking: z
      .strictObject({
        cohort: z.number().int().min(2).default(3),
        survivors: z.number().int().min(2).default(3),
        colluders: z.number().min(0).lt(1).default(0),
        'noise-multiplier': z.number().min(0).default(0),
        budget: z.strictObject({ epsilon: positive, delta: positive.lt(1) }).optional(),
      })
      .prefault({})
      .refine(({ cohort, survivors }) => survivors <= cohort, 'survivors is above cohort'),
    consent: z
      .array(z.strictObject({ purpose, version }))
      .max(100)
      .default([])
      .refine((all) => new Set(all.map((one) => one.purpose)).size === all.length, 'names a purpose twice'),
    tensors: z.array(rangeRule).prefault(['*']),
    metrics: z.array(rangeRule).default([]),
    weight: z
      .strictObject({ min: z.number().default(0), max: z.number().positive().default(1e9) })
      .prefault({})
      .refine(({ min, max }) => min <= max, 'min is above max'),
    'local-noise': localNoise.optional(),
    'error-details': z.boolean().default(false),
    limits: z
      .strictObject({
        'update-mib': z.number().positive().default(1024),
        'answers-per-day': z.number().int().positive().default(10_000),
        'mib-per-day': z.number().positive().default(102_400),
      })
      .prefault({}),
  })
  .refine((policy) => !policy['require-signed-app'] || policy['trusted-entities'] !== undefined, {
    error: 'require-signed-app needs trusted-entities',
    path: ['trusted-entities'],
  });

export interface LoadedPolicy {
  readonly policy: Policy;
  /** Ed25519 keys by entity id. */
  readonly trusted: ReadonlyMap<string, KeyObject>;
}

/** Reads the policy and the files it names. Throws CONFIG_INVALID with file and key. */
export const loadPolicy = (file: string): LoadedPolicy => {
  const read = loadConfig(file, policyFile);
  const entities = read['trusted-entities'];
  const limits = read.limits;
  const { cohort, survivors, colluders } = read.masking;
  return {
    trusted: entities === undefined ? new Map() : readTrustedEntities(resolve(dirname(file), entities)),
    policy: {
      apps: read.apps,
      appHashes: read['app-hashes'] ?? null,
      runs: read.runs?.map(BigInt) ?? null,
      kinds: read.kinds,
      requireSignedApp: read['require-signed-app'],
      requireMasking: read['require-masking'],
      floors: { cohort, survivors, colluders },
      leastNoise: read.masking['noise-multiplier'],
      noiseBudget: read.masking.budget ?? null,
      consent: read.consent,
      tensors: read.tensors,
      metrics: read.metrics,
      weight: read.weight,
      localNoise: read['local-noise'] ?? null,
      errorDetails: read['error-details'],
      updateBytes: limits['update-mib'] * MIB,
      perDay: { answers: limits['answers-per-day'], bytes: limits['mib-per-day'] * MIB },
    },
  };
};
