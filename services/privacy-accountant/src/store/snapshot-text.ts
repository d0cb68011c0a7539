import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import type { Secret } from '@aegis/service-kit';
import { z } from 'zod';
import type { Account } from '../domain/account.ts';
import { Book, type DataSet, type Reservation, type Run } from '../domain/book.ts';
import type { Snapshot } from './contract.ts';
import { charges, plainText, policy, positive, runId, units } from './entry-text.ts';

// A snapshot: nonce, AES-256-GCM of one JSON text, code. The key is derived from the ledger's: who cannot write pages cannot write this.

const LABEL = 'aegis privacy ledger snapshot v1';
const NONCE = 12;
const CODE = 16;

const whole = z.number().int().min(0);
const position = z.strictObject({ page: whole, entries: whole, head: z.string().regex(/^[0-9a-f]{64}$/) });
const budget = z.strictObject({ epsilon: positive, delta: positive, order: z.number().gt(1).finite() });
/** A bag that may be empty. */
const bag = z.union([charges, z.tuple([]).transform(() => new Map<string, number>())]);
const account = z.strictObject({
  ...{ order: z.number().gt(1).finite(), unit: z.string(), relation: z.string(), charges: bag },
});
const scheduled = z.strictObject({ epsilon: z.number().min(0), method: z.string() }).nullable();
const run = z.strictObject({
  ...{ policy, digest: z.string(), budget, scheduled, consumed: bag, account: account.nullable() },
  ...{ reserved: whole, committed: whole },
});
const dataSet = z.strictObject({
  partitions: z.array(z.string()),
  homes: z.array(z.tuple([whole, z.string()])),
  whole: account.nullable(),
  parts: z.array(z.tuple([z.string(), account])),
  ...{ reserved: whole, committed: whole },
});
const reservation = z.strictObject({
  ...{ key: z.string(), id: z.string(), digest: z.string(), runId, units, asked: bag, events: bag },
  state: z.enum(['reserved', 'committed', 'released']),
  ...{ result: z.string(), inTheClear: z.array(z.string()) },
});
const form = z.strictObject({
  v: z.literal(1),
  ...{ before: position, position, epoch: whole, entries: whole },
  defaults: z.array(z.tuple([z.enum(['run', 'dataset', 'unit']), budget])),
  budgets: z.array(z.tuple([z.string(), budget])),
  runs: z.array(run),
  dataSets: z.array(z.tuple([z.string(), dataSet])),
  unitNames: z.array(z.string()),
  /** Units with the same past share one: the units' own are numbers into this list. */
  accounts: z.array(account),
  units: z.array(whole.nullable()),
  reservations: z.array(reservation),
});

/** What the entries up to a position add up to. The same book gives the same text. */
function bookText({ before, position: at, book }: Snapshot): string {
  const numbers = new Map<Account, number>();
  const units = Array.from(book.unitNames, (_name, unit) => {
    const account = book.units[unit];
    if (account === undefined) return null;
    if (!numbers.has(account)) numbers.set(account, numbers.size);
    return numbers.get(account) ?? null;
  });
  const keys = new Map([...book.byKey].map(([key, id]) => [id, key]));
  const content = {
    v: 1,
    ...{ before, position: at, epoch: book.epoch, entries: book.entries },
    ...{ defaults: book.defaults, budgets: book.budgets, runs: [...book.runs.values()] },
    ...{ dataSets: book.dataSets, unitNames: book.unitNames, accounts: [...numbers.keys()], units },
    reservations: [...book.reservations.values()].map((kept) => ({ key: keys.get(kept.id), ...kept })),
  };
  return plainText(content, true);
}

export const saysTheSame = (snapshot: Snapshot, book: Book): boolean =>
  bookText(snapshot) === bookText({ ...snapshot, book });

function readBookText(text: string): Snapshot {
  const { before, position: at, ...state } = form.parse(JSON.parse(text));
  const book = new Book();
  book.epoch = state.epoch;
  book.entries = state.entries;
  for (const [kind, value] of state.defaults) book.defaults.set(kind, value);
  for (const [key, value] of state.budgets) book.budgets.set(key, value);
  for (const value of state.runs) book.runs.set(value.policy.runId, value satisfies Run);
  for (const [name, { homes, parts, ...rest }] of state.dataSets)
    book.dataSets.set(name, { ...rest, homes: new Map(homes), parts: new Map(parts) } satisfies DataSet);
  for (const [number, name] of state.unitNames.entries()) {
    book.unitNames.push(name);
    book.unitNumbers.set(name, number);
  }
  for (const [unit, number] of state.units.entries())
    if (number !== null) book.units[unit] = accountAt(state.accounts, number);
  for (const { key, ...kept } of state.reservations) {
    book.reservations.set(kept.id, kept satisfies Reservation);
    book.byKey.set(key, kept.id);
  }
  return { before, position: at, book };
}

function accountAt(accounts: readonly Account[], number: number): Account {
  const account = accounts[number];
  if (account === undefined) throw new Error(`no account ${number}`);
  return account;
}

export function sealSnapshot(snapshot: Snapshot, key: Secret): Buffer {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', sealingKey(key), nonce);
  return Buffer.concat([nonce, cipher.update(bookText(snapshot), 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

/** PRIVACY_LEDGER_DAMAGED unless it was sealed with this key, by this release or one that writes the same form. */
export function openSnapshot(content: Uint8Array, key: Secret): Snapshot {
  try {
    const bytes = Buffer.from(content);
    const decipher = createDecipheriv('aes-256-gcm', sealingKey(key), bytes.subarray(0, NONCE), {
      authTagLength: CODE,
    });
    decipher.setAuthTag(bytes.subarray(-CODE));
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE, -CODE)), decipher.final()]);
    return readBookText(text.toString('utf8'));
  } catch (cause) {
    throw new AegisError('PRIVACY_LEDGER_DAMAGED', 'The snapshot was changed, or was written with another key.', cause);
  }
}

const sealingKey = (key: Secret): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', key.reveal(), new Uint8Array(), LABEL, 32));
