import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { AegisError } from '@aegis/errors';
import { z } from 'zod';
import type { AskedStage } from '../domain/answer.ts';
import type { Said } from '../flows/check-answer.ts';

/** The largest are sealed shares: about 310 bytes of JSON for each neighbour, 999 of them in a complete graph of a thousand. */
export const MOST_ANSWER_BYTES = 512 * 1024;

const id = z.string().regex(/^(0|[1-9]\d{0,19})$/);
const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`));
const anyHex = z.string().regex(/^([0-9a-f]{2}){1,1024}$/);

// The core's messages (secagg/messages.rs), read before anything is done with them.
const advertising = z.strictObject({
  advert: z.strictObject({ node: id, channelKey: hex(32), maskKey: hex(32), expires: id, signature: anyHex }),
  certificate: z.string().max(8_192),
});
const sealedShares = z.strictObject({
  node: id,
  shares: z.array(z.strictObject({ peer: id, sealed: anyHex })),
});
const confirmation = z.strictObject({ node: id, survivors: hex(32), model: hex(32), signature: anyHex });
const openedShare = z.strictObject({ of: id, share: hex(48) });
const openedShares = z.strictObject({ node: id, seeds: z.array(openedShare), keys: z.array(openedShare) });

const names: Readonly<Partial<Record<SecaggStage, AskedStage>>> = {
  [SecaggStage.ADVERTISE]: 'advertise',
  [SecaggStage.SHARE]: 'share',
  [SecaggStage.MASK]: 'mask',
  [SecaggStage.CONFIRM]: 'confirm',
  [SecaggStage.UNMASK]: 'unmask',
};

export const readStage = (stage: SecaggStage): AskedStage => {
  const name = names[stage];
  if (name === undefined) throw new AegisError('SECAGG_ANSWER', `There is no stage ${stage}.`);
  return name;
};

/** Null for an empty one: it waits for what follows the answer that was kept. */
export const readSaid = (stage: AskedStage, answer: Buffer): Said | null => {
  if (answer.byteLength === 0) return null;
  if (answer.byteLength > MOST_ANSWER_BYTES) {
    throw new AegisError('SECAGG_ANSWER', `It has ${answer.byteLength} bytes, at most ${MOST_ANSWER_BYTES} are taken.`);
  }
  switch (stage) {
    case 'advertise': {
      const said = read(advertising, answer);
      return { stage, node: said.advert.node, ...said };
    }
    case 'share':
      return { stage, ...read(sealedShares, answer) };
    case 'confirm': {
      const said = read(confirmation, answer);
      return { stage, node: said.node, confirmation: said };
    }
    case 'unmask':
      return { stage, ...read(openedShares, answer) };
    case 'mask':
      throw new AegisError('SECAGG_ANSWER', 'A masked vector goes to the aggregator, never here.');
  }
};

// What was wrong is told by its place alone: the text may hold shares.
const read = <T>(form: z.ZodType<T>, answer: Buffer): T => {
  let value: unknown;
  try {
    value = JSON.parse(answer.toString('utf8'));
  } catch {
    throw new AegisError('SECAGG_ANSWER', 'It is no JSON.');
  }
  const parsed = form.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AegisError('SECAGG_ANSWER', `Not of its form at "${parsed.error.issues[0]?.path.join('.') ?? ''}".`);
};
