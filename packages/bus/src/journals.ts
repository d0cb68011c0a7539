import { maxPayloadBytes } from './buckets.ts';

// Every stream of the suite that is a history rather than a state: each record follows the one before it, nothing is ever taken out.

export interface JournalOptions {
  readonly description: string;
  readonly maxRecordBytes: number;
}

export const journals = {
  'privacy-ledger': {
    description: 'what was let out and what it cost (privacy-accountant)',
    maxRecordBytes: maxPayloadBytes - 64 * 1024,
  },
  audit: {
    description: 'who was let in, who did what, who was refused (gateway)',
    maxRecordBytes: maxPayloadBytes - 64 * 1024,
  },
} as const satisfies Record<string, JournalOptions>;

export type JournalName = keyof typeof journals;
