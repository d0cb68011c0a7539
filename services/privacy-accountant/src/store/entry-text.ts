import { AegisError } from '@aegis/errors';
import { z } from 'zod';
import type { Charges } from '../domain/charges.ts';
import type { Entry, Fact } from '../domain/entry.ts';

// An entry as one line of JSON. What is hashed is the line itself, so that nothing depends on how a later release would write it.

const count = z.number().int().min(1);
export const charges = z.array(z.tuple([z.string().min(2), count])).transform((pairs) => new Map(pairs) as Charges);
export const positive = z.number().positive().finite();
export const runId = z
  .string()
  .regex(/^[1-9]\d{0,19}$/)
  .transform(BigInt);
const at = z.number().int();

/** Unit numbers, ascending, as ranges: `0-99 105 107-110`. */
export const units = z
  .string()
  .regex(/^\d+(-\d+)?( \d+(-\d+)?)*$/)
  .transform((text, context) => {
    const numbers = readRanges(text);
    if (numbers !== null) return numbers;
    context.addIssue({ code: 'custom', message: 'is not ascending, or too long' });
    return z.NEVER;
  });

export const policy = z.strictObject({
  runId,
  dataset: z.string(),
  partition: z.string(),
  unit: z.enum(['node', 'user']),
  epsilon: positive.nullable(),
  delta: positive.nullable(),
  schedule: charges.nullable(),
});

const forms = {
  opened: z.strictObject({ kind: z.literal('opened'), at, epoch: count, writer: z.string() }),
  accepted: z.strictObject({ kind: z.literal('accepted'), at, head: z.string(), because: z.string() }),
  budget: z.strictObject({
    ...{ kind: z.literal('budget'), at },
    scope: z.strictObject({ kind: z.enum(['run', 'dataset', 'unit']), name: z.string() }),
    ...{ epsilon: positive, delta: positive, order: z.number().gt(1).finite() },
    partitions: z.array(z.string()),
  }),
  run: z.strictObject({
    ...{ kind: z.literal('run'), at, policy, digest: z.string() },
    ...{ epsilon: positive, delta: positive, order: z.number().gt(1).finite() },
    scheduled: z.strictObject({ epsilon: z.number().min(0), method: z.string() }).nullable(),
  }),
  reserved: z.strictObject({
    ...{ kind: z.literal('reserved'), at },
    ...{ id: z.string().min(1), key: z.string().min(1), digest: z.string(), runId },
    ...{ newUnits: z.array(z.string()), units, events: charges },
  }),
  committed: z.strictObject({
    ...{ kind: z.literal('committed'), at },
    ...{ id: z.string(), events: charges, result: z.string(), inTheClear: z.array(z.string()) },
  }),
  released: z.strictObject({ kind: z.literal('released'), at, id: z.string(), proof: z.string(), reason: z.string() }),
} satisfies Record<Fact['kind'], unknown>;

const form = z.discriminatedUnion('kind', [
  forms.opened,
  forms.accepted,
  forms.budget,
  forms.run,
  forms.reserved,
  forms.committed,
  forms.released,
]);

export const writeEntry = (entry: Entry): string => plainText(entry);

/** JSON with numbers of runs as text, bags as pairs and units as ranges; fields in the order they have, or else in the alphabet's. */
export const plainText = (content: object, sorted = false): string =>
  JSON.stringify(content, (_key, value: unknown) => {
    if (typeof value === 'bigint') return value.toString();
    if (value instanceof Map) return [...value];
    if (value instanceof Int32Array) return writeRanges(value);
    if (sorted && typeof value === 'object' && value !== null && !Array.isArray(value))
      return Object.fromEntries(Object.entries(value).sort(([x], [y]) => (x < y ? -1 : 1)));
    return value;
  });

/** PRIVACY_LEDGER_DAMAGED for anything but an entry: also for one that only a later release understands. */
export function readEntry(text: string): Entry {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AegisError('PRIVACY_LEDGER_DAMAGED', 'An entry is not JSON.', cause);
  }
  const read = form.safeParse(value);
  if (read.success) return read.data;
  const issue = read.error.issues[0];
  throw new AegisError(
    'PRIVACY_LEDGER_DAMAGED',
    `An entry cannot be read: ${issue?.path.join('.')} ${issue?.message}.`,
  );
}

/** No reservation concerns more. */
const MOST_UNITS = 100_000;

function readRanges(text: string): Int32Array | null {
  const numbers: number[] = [];
  for (const range of text.split(' ')) {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    const before = numbers.at(-1) ?? -1;
    if (first <= before || last < first || last >= 2 ** 31 || numbers.length + last - first >= MOST_UNITS) return null;
    for (let number = first; number <= last; number += 1) numbers.push(number);
  }
  return Int32Array.from(numbers);
}

function writeRanges(numbers: Int32Array): string {
  const ranges: string[] = [];
  for (let at = 0; at < numbers.length; ) {
    const first = numbers[at] as number;
    let end = at + 1;
    while (end < numbers.length && numbers[end] === first + (end - at)) end += 1;
    ranges.push(end - at === 1 ? `${first}` : `${first}-${first + (end - at) - 1}`);
    at = end;
  }
  return ranges.join(' ');
}
