import { type Bus, BusConflict } from '@aegis/bus';
import { AegisError } from '@aegis/errors';
import { z } from 'zod';
import { type LeaseTerms, StaleWrite, type WriterLease } from '../contract.ts';

const KEY = 'writer';

const form = z.strictObject({ owner: z.string(), instance: z.string(), epoch: z.number().int().min(1) });

/** One key of a bucket, compared before it is set. */
export async function busLease(bus: Bus): Promise<WriterLease> {
  const bucket = await bus.bucket('accountants');
  return {
    get: async () => {
      const entry = await bucket.get(KEY);
      return entry === null ? null : { terms: read(entry.value), revision: entry.revision };
    },
    take: async (terms, revision) => {
      const value = Buffer.from(JSON.stringify(terms));
      try {
        return await (revision === null ? bucket.create(KEY, value) : bucket.update(KEY, value, revision));
      } catch (error) {
        throw error instanceof BusConflict ? new StaleWrite('the lease of the privacy ledger', error) : error;
      }
    },
  };
}

function read(value: Buffer): LeaseTerms {
  try {
    return form.parse(JSON.parse(value.toString('utf8')));
  } catch (cause) {
    throw new AegisError('STORE_UNAVAILABLE', 'The lease of the privacy ledger cannot be read.', cause);
  }
}
