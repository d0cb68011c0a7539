import { AegisError } from '@aegis/errors';
import { strictText } from '@aegis/service-kit';
import { nodeLimits } from '../node/limits.ts';

/** A manifest is five deep: itself, its tensors, one of them, its slices, one of those. */
const DEPTH = 5;
/** Of one object: metrics have the most. */
const MEMBERS = nodeLimits.metrics;
/** Of one list. */
const ITEMS = nodeLimits.slices;
/** Of the whole. A manifest of one short slice per tensor, the densest there is, has one value in 18 bytes: 233,000 in 4 MiB. */
const VALUES = 300_000;

const [QUOTE, BACKSLASH, COMMA] = [...Buffer.from('"\\,')];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...Buffer.from('[]{}')];

/**
 * Two bytes of JSON can become an object of a hundred: what repeats is counted before the parser makes objects of it, as shape.ts does for
 * native clients. Throws REQUEST_MALFORMED when JSON is deeper or has more of anything than a request can need. Of what is no JSON
 * nothing is promised: the parser says so.
 */
export const checkJsonShape = (bytes: Buffer): void => {
  /** Of each list or object that is open: what may be in it, and what is. */
  const open: { readonly most: number; count: number }[] = [];
  let values = 0;
  const more = (): void => {
    values += 1;
    if (values > VALUES) throw tooMany('values', VALUES);
    const inner = open.at(-1);
    if (inner === undefined) return;
    inner.count += 1;
    if (inner.count > inner.most)
      throw tooMany(inner.most === ITEMS ? 'items in a list' : 'members in an object', inner.most);
  };
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfText(bytes, at);
    else if (byte === COMMA) more();
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      if (open.length === DEPTH) throw new AegisError('REQUEST_MALFORMED', `The body is more than ${DEPTH} deep.`);
      open.push({ most: byte === OPEN_LIST ? ITEMS : MEMBERS, count: 0 });
      more();
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) open.pop();
  }
};

/** Where its closing quote is; behind the end when there is none. */
const endOfText = (bytes: Buffer, from: number): number => {
  for (let at = from + 1; at < bytes.byteLength; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at += 1;
  }
  return bytes.byteLength;
};

const tooMany = (what: string, most: number): AegisError =>
  new AegisError('REQUEST_MALFORMED', `The body has more than ${most} ${what}.`);

/** The value of a JSON text. Throws REQUEST_MALFORMED for what is none, is no UTF-8, or has more of anything than a request can need. */
export const readJson = (bytes: Buffer, what = 'The body'): unknown => {
  checkJsonShape(bytes);
  try {
    return JSON.parse(strictText(bytes));
  } catch {
    throw new AegisError('REQUEST_MALFORMED', `${what} is no JSON.`);
  }
};
