import { z } from 'zod';

/** Of both; credentials come by the SDK's own chain (environment, web identity, pod identity, instance role) and never stand in a file of ours. */
const reach = {
  /** Default: as the SDK finds it, AWS_REGION or a profile. */
  region: z.string().min(1).optional(),
  /** Of another service that speaks the same protocol, or of a VPC endpoint. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  /** One attempt of one request; there are five, further and further apart. */
  'timeout-seconds': z.number().min(1).max(600).default(30),
};

/** Where objects are kept. */
export const s3Config = z.strictObject({
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be the name of a bucket'),
  /** Begins every key; several suites may share a bucket. */
  prefix: z
    .string()
    .regex(/^([A-Za-z0-9_.=-]+\/)*$/, 'must be empty or end with "/", e.g. "aegis/"')
    .default(''),
  ...reach,
  /** https://host/bucket instead of https://bucket.host, for services that have no wildcard name. */
  'path-style': z.boolean().default(false),
  /** Asks S3 to encrypt with this KMS key besides (SSE-KMS). What leaves is sealed in any case. */
  'sse-kms-key-id': z.string().min(1).optional(),
});
export type S3Config = z.infer<typeof s3Config>;

/** Who wraps data keys. */
export const kmsConfig = z.strictObject({
  /** Id, ARN or alias of a symmetric key. */
  'key-id': z.string().min(1),
  /** Keys that wrapped before: what they wrapped is opened, and wrapped again with `key-id`. */
  'former-key-ids': z.array(z.string().min(1)).max(8).default([]),
  ...reach,
});
export type KmsConfig = z.infer<typeof kmsConfig>;

/** Who wraps data keys, in the file of a service. */
export const keysConfig = z
  .strictObject({
    kms: kmsConfig.optional(),
    /** 32 random bytes, mode 0600, the same for all processes that share what is sealed. */
    file: z.string().min(1).optional(),
  })
  .refine((one) => (one.kms === undefined) !== (one.file === undefined), { error: 'give either kms or file' });
export type KeysConfig = z.infer<typeof keysConfig>;
