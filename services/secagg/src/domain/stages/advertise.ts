import type { AdvertAnswer } from '../answer.ts';
import type { NodeId, Opened } from '../masking.ts';
import { wrongAnswer } from '../refuse.ts';
import { type Advertising, type Drawing, type Ended, type Excluded, tooFew, withAnswer } from '../state.ts';

// Nodes advertise their keys of this round. Who has not when the time is over is left out.

export const beginRound = (opened: Opened): Advertising => ({
  stage: 'advertise',
  opened,
  adverts: new Map(),
  twins: new Set(),
});

/** Every node would refuse a roster with it: one certificate, and one key, is one node. */
const twinOf = (state: Advertising, { node, subject, advert }: AdvertAnswer): string | null => {
  const keys = [advert.channelKey, advert.maskKey];
  for (const other of state.adverts.values()) {
    if (other.node === node) continue;
    if (other.subject === subject) return 'SUBJECT_TWICE';
    if (keys.includes(other.advert.channelKey) || keys.includes(other.advert.maskKey)) return 'KEY_TWICE';
  }
  return advert.channelKey === advert.maskKey ? 'KEY_TWICE' : null;
};

export const checkAdvert = (state: Advertising, answer: AdvertAnswer): void => {
  if (answer.advert.node !== answer.node) throw wrongAnswer('The advert is of another node.');
  const twin = twinOf(state, answer);
  if (twin !== null) throw wrongAnswer(`${twin}: another node of this round has come with it.`);
};

export const takeAdvert = (state: Advertising, answer: AdvertAnswer): Advertising | Drawing | Ended => {
  const isTwin = twinOf(state, answer) !== null;
  const next: Advertising = isTwin
    ? { ...state, twins: new Set(state.twins).add(answer.node) }
    : { ...state, adverts: withAnswer(state.adverts, answer) };
  const isComplete = next.adverts.size + next.twins.size === state.opened.cohort.length;
  return isComplete ? closeAdverts(next) : next;
};

/** Nobody is added any more. */
export const closeAdverts = ({ opened, adverts, twins }: Advertising): Drawing | Ended => {
  const { threshold, degree, minSurvivors } = opened.terms;
  const count = adverts.size;
  const holders = Math.min(degree + 1, count);
  if (count < minSurvivors || holders < threshold) {
    const needed = Math.max(minSurvivors, threshold);
    return tooFew(
      opened,
      `${count} of ${opened.cohort.length} nodes advertised their keys in time; ${needed} are needed.`,
    );
  }
  const excluded = opened.cohort
    .filter(({ node }) => !adverts.has(node))
    .map(({ node }): Excluded => ({ node, reason: twins.has(node) ? 'ADVERT_OF_ANOTHER' : 'NOT_ADVERTISED' }));
  return { stage: 'draw', opened, roster: adverts, excluded };
};

/** The neighbours as the core draws them from the roster. */
export const drawn = ({ opened, roster, excluded }: Drawing, neighbours: ReadonlyMap<NodeId, ReadonlySet<NodeId>>) =>
  ({ stage: 'share', opened, roster, excluded, neighbours, shares: new Map() }) as const;
