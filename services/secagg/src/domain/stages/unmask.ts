import type { OpenedAnswer, OpenedShare } from '../answer.ts';
import type { NodeId } from '../masking.ts';
import { wrongAnswer } from '../refuse.ts';
import { type Ended, type Openable, tooFew, type Unmasking, withAnswer } from '../state.ts';

// Survivors open what they hold: of a survivor the share of its seed, of a dropped node the share of its key. Never both of one.

/** What it holds is known: no less, no more, and of each node the one kind. */
export const checkOpening = (state: Unmasking | Openable, { node, seeds, keys }: OpenedAnswer): void => {
  const held = new Set(state.neighbours.get(node)).add(node);
  expectAll(
    'seeds',
    seeds,
    state.survivors.filter((other) => held.has(other)),
  );
  expectAll(
    'keys',
    keys,
    state.dropped.filter((other) => held.has(other)),
  );
};

const expectAll = (what: string, shares: readonly OpenedShare[], expected: readonly NodeId[]): void => {
  const owners = new Set(shares.map(({ of }) => of));
  if (owners.size !== shares.length) throw wrongAnswer(`Two ${what} are of one node.`);
  const missing = expected.find((node) => !owners.has(node));
  if (missing !== undefined) throw wrongAnswer(`Of ${what}, that of node ${missing} is missing.`);
  if (owners.size !== expected.length)
    throw wrongAnswer(`Of ${what}, ${owners.size - expected.length} are of nodes nobody asked for.`);
};

/** Nobody is waited for once every secret has its shares. */
export const takeOpening = (state: Unmasking | Openable, answer: OpenedAnswer): Unmasking | Openable => {
  const counts = new Map(state.counts);
  for (const { of } of [...answer.seeds, ...answer.keys]) counts.set(of, (counts.get(of) ?? 0) + 1);
  const next = { ...state, openings: withAnswer(state.openings, answer), counts };
  return isOpenable(next) ? { ...next, stage: 'open' } : next;
};

export const closeOpenings = ({ opened, openings, confirmations }: Unmasking): Ended =>
  tooFew(
    opened,
    `${openings.size} of the ${confirmations.size} nodes that confirmed opened their shares in time; some secret has fewer than ${opened.terms.threshold}.`,
  );

const isOpenable = ({ opened, counts, survivors, dropped }: Omit<Unmasking, 'stage'>): boolean =>
  [...survivors, ...dropped].every((node) => (counts.get(node) ?? 0) >= opened.terms.threshold);
