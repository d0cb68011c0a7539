import { conformanceSuite } from '@aegis/testkit';
import { expect, it } from 'vitest';
import type { ConfirmAnswer } from '../domain/answer.ts';
import type { Fact } from '../domain/fact.ts';
import type { Opened } from '../domain/masking.ts';
import type { RoundStore } from './contract.ts';

let runs = 0;
const newRun = (): string => {
  runs += 1;
  return String(runs);
};
const newRound = (runId = newRun(), round = '5'): Opened => ({
  ref: { runId, round },
  terms: {
    ...{ run: runId, round, plan: '01'.repeat(32), degree: 2, threshold: 2, minSurvivors: 2, bits: 23 },
    length: '11',
  },
  colluders: 0.1,
  stageSeconds: 30,
  cohort: [{ taskId: `t-${runId}-${round}`, node: '18446744073709551615' }],
  modelId: 'ab'.repeat(32),
  traceparent: '',
});
const answerOf = (node: string, signature = 'aa'): Fact => {
  const confirmation = { node, survivors: '00', model: '00', signature };
  return { kind: 'answer', answer: { stage: 'confirm', node, confirmation } satisfies ConfirmAnswer };
};
const closed: Fact = { kind: 'closed', stage: 'confirm' };
const ended = { kind: 'ended', code: 'SECAGG_TOO_FEW', reason: 'too few' } as const;

/** What is there of a round now. */
const factsOf = async (store: RoundStore, { ref }: Opened): Promise<Fact[]> => {
  const stop = new AbortController();
  const facts: Fact[] = [];
  for await (const item of store.follow(ref, stop.signal)) {
    if (item === 'caught-up') break;
    facts.push(item);
  }
  stop.abort();
  return facts;
};

/** `other` is what another process sees. */
export const roundStoreSuite = conformanceSuite<{ store: RoundStore; other: RoundStore }>('RoundStore', (subject) => {
  it('opens a round once: whoever comes second is shown the first', async () => {
    const { store, other } = subject();
    const first = newRound();
    const second = { ...first, modelId: 'cd'.repeat(32) };
    expect(await store.find(first.ref)).toBeNull();
    expect(await store.open(first)).toEqual({ state: 'open', opened: first });
    expect(await other.open(second)).toEqual({ state: 'open', opened: first });
    expect(await other.find(first.ref)).toEqual({ state: 'open', opened: first });
  });

  it('lets one of two that open at once stand', async () => {
    const { store, other } = subject();
    const first = newRound();
    const second = { ...first, modelId: 'cd'.repeat(32) };
    const [one, two] = await Promise.all([store.open(first), other.open(second)]);
    expect(one).toEqual(two);
  });

  it('finds the open rounds of a run, and no others', async () => {
    const { store, other } = subject();
    const one = newRound();
    const two = newRound(one.ref.runId, '6');
    const three = newRound(one.ref.runId, '7');
    for (const opened of [one, two, three, newRound()]) await store.open(opened);
    await store.end(two.ref, ended);
    const found = await other.openOf(one.ref.runId);
    expect(found.map(({ ref }) => ref.round).sort()).toEqual(['5', '7']);
    expect(await other.openOf('999999')).toEqual([]);
  });

  it('keeps the first fact of a name, and tells facts in the order they were written, to every process', async () => {
    const { store, other } = subject();
    const opened = newRound();
    await store.open(opened);
    await store.add(opened.ref, answerOf('2'));
    await other.add(opened.ref, answerOf('1'));
    await other.add(opened.ref, closed);
    await other.add(opened.ref, answerOf('2', 'bb'));
    await store.add(opened.ref, answerOf('3'));
    const facts = [answerOf('2'), answerOf('1'), closed, answerOf('3')];
    expect(await factsOf(store, opened)).toEqual(facts);
    expect(await factsOf(other, opened)).toEqual(facts);
  });

  it('tells what happens from then on, and stops when it is told to', async () => {
    const { store, other } = subject();
    const opened = newRound();
    await store.open(opened);
    const stop = new AbortController();
    const told: (Fact | 'caught-up')[] = [];
    for await (const item of store.follow(opened.ref, stop.signal)) {
      told.push(item);
      if (item === 'caught-up') await other.add(opened.ref, answerOf('1'));
      else if (told.length === 2) await store.add(opened.ref, closed);
      else stop.abort();
    }
    expect(told).toEqual(['caught-up', answerOf('1'), closed]);
  });

  it('forgets everything but the end, and the first end stands', async () => {
    const { store, other } = subject();
    const opened = newRound();
    await store.open(opened);
    for (const node of ['1', '2', '3']) await store.add(opened.ref, answerOf(node));
    await other.end(opened.ref, ended);
    await store.end(opened.ref, { kind: 'ended', code: 'SECAGG_ROUND_OVER', reason: 'later' });
    expect(await factsOf(store, opened)).toEqual([ended]);
    expect(await store.find(opened.ref)).toEqual({ state: 'ended', code: 'SECAGG_TOO_FEW', reason: 'too few' });
    await store.add(opened.ref, answerOf('4'));
    expect(await factsOf(other, opened)).toEqual([ended]);
    expect(await other.open(opened)).toMatchObject({ state: 'ended' });
  });

  it('ends a round that nobody opened, so that nobody does', async () => {
    const { store, other } = subject();
    const opened = newRound();
    await store.end(opened.ref, ended);
    expect(await other.open(opened)).toEqual({ state: 'ended', code: 'SECAGG_TOO_FEW', reason: 'too few' });
  });

  it('takes the largest answers that the door lets in', async () => {
    const { store, other } = subject();
    const opened = newRound();
    await store.open(opened);
    const fact = answerOf('1', 'a'.repeat(1024 * 1024));
    await store.add(opened.ref, fact);
    expect(await factsOf(other, opened)).toEqual([fact]);
  });
});
