import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from '@aegis/service-kit';
import { z } from 'zod';
import type { Position } from './contract.ts';

/** What an anchor says, as whoever has the ledger's key writes it. */
export const markShape = {
  page: z.number().int().min(1),
  entries: z.number().int().min(1),
  head: z.string().regex(/^[0-9a-f]{64}$/),
};
export const codeShape = z.string().regex(/^[0-9a-f]{64}$/);

export const plain = ({ page, entries, head }: Position): Position => ({ page, entries, head });

/** HMAC-SHA-256 over the text; `kind` keeps the marks of different anchors apart. */
export const codeOf = (kind: string, text: string, key: Secret): string =>
  createHmac('sha256', key.reveal()).update(`${kind}\n`).update(text).digest('hex');

export const isCode = (code: string, kind: string, text: string, key: Secret): boolean =>
  timingSafeEqual(Buffer.from(code, 'hex'), Buffer.from(codeOf(kind, text, key), 'hex'));
