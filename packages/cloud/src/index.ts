export { type KeysConfig, keysConfig, type S3Config, s3Config } from './config.ts';
export { dataKeyAt, dataKeyIn } from './kept-keys.ts';
export { type KeyWrapper, keyFileWrapper, type Unwrapped } from './key-wrapper.ts';
export { ObjectConflict, type ObjectFacts, type Objects } from './objects.ts';
export { openKeys, openS3 } from './open.ts';
export type { S3Objects } from './s3-objects.ts';
export type { ObjectVersion } from './s3-versions.ts';
export { untilReachable } from './until-reachable.ts';
