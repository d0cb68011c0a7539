import { readFileSync } from 'node:fs';
import { AegisError } from '@aegis/errors';
import { z } from 'zod';

/** PEM: whom to trust, who we are. */
export interface TlsMaterial {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The same as files; a ready part for a service's config schema. */
export const tlsFiles = z.strictObject({ ca: z.string().min(1), cert: z.string().min(1), key: z.string().min(1) });
export type TlsFiles = z.infer<typeof tlsFiles>;

export const readTls = (files: TlsFiles): TlsMaterial => {
  const read = (name: keyof TlsFiles): Buffer => {
    try {
      return readFileSync(files[name]);
    } catch (error) {
      throw new AegisError('CONFIG_INVALID', `tls.${name}: ${files[name]} cannot be read.`, error);
    }
  };
  return { ca: read('ca'), cert: read('cert'), key: read('key') };
};
