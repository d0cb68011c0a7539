// The SDK of AWS is loaded only where it is asked for: a suite without it starts without it.
import type { KeysConfig, S3Config } from './config.ts';
import { type KeyWrapper, keyFileWrapper } from './key-wrapper.ts';
import type { S3Objects } from './s3-objects.ts';

/** What a file of a service names. */
export async function openKeys({ kms, file }: KeysConfig): Promise<{ wrapper: KeyWrapper; close(): void }> {
  if (kms === undefined) return { wrapper: keyFileWrapper(file ?? '', { create: false }), close: () => {} };
  const wrapper = new (await import('./kms-wrapper.ts')).KmsWrapper(kms);
  return { wrapper, close: () => wrapper.close() };
}

export const openS3 = async (config: S3Config): Promise<S3Objects> =>
  new (await import('./s3-objects.ts')).S3Objects(config);
