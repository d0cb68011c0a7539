import { describe, expect, it } from 'vitest';
import type { AdvertAnswer, Answer, ConfirmAnswer, OpenedAnswer, SharesAnswer } from './answer.ts';
import type { Fact } from './fact.ts';
import { checkOpened, isSameRound, type NodeId, type Opened, quorumOf } from './masking.ts';
import { nextRequest } from './request.ts';
import { afterFact, checkAnswer, keptAnswer, timedStage } from './round.ts';
import { beginRound, drawn } from './stages/advertise.ts';
import { checkSurvivors } from './stages/survive.ts';
import type { Drawing, Round, Shared } from './state.ts';

const NODES: readonly NodeId[] = ['2', '3', '10', '11', '12'];
const opened = (changes: Partial<Opened['terms']> = {}, colluders = 0): Opened => ({
  ref: { runId: '7', round: '1' },
  terms: {
    ...{
      run: '7',
      round: '1',
      plan: 'aa'.repeat(32),
      degree: 4,
      threshold: 3,
      minSurvivors: 3,
      bits: 23,
      length: '11',
    },
    ...changes,
  },
  colluders,
  stageSeconds: 30,
  cohort: NODES.map((node) => ({ taskId: `task-${node}`, node })),
  modelId: 'ab'.repeat(32),
  traceparent: '',
});

const hex = (digits: string) => digits.padStart(64, '0');
const advert = (node: NodeId, changes: Partial<AdvertAnswer> = {}): AdvertAnswer => ({
  ...{ stage: 'advertise', node, certificate: `PEM ${node}`, subject: `CN=${node}`, signingKey: `key ${node}` },
  advert: { node, channelKey: hex(`c${node}`), maskKey: hex(`a${node}`), expires: '1', signature: '00' },
  ...changes,
});
const shares = (node: NodeId, peers: readonly NodeId[] = NODES.filter((peer) => peer !== node)): SharesAnswer => ({
  ...{ stage: 'share', node },
  shares: peers.map((peer) => ({ peer, sealed: `${node}${peer}`.padStart(248, '0') })),
});
const confirmation = (node: NodeId): ConfirmAnswer => ({
  ...{ stage: 'confirm', node },
  confirmation: { node, survivors: hex('5'), model: 'ab'.repeat(32), signature: '00' },
});
const opening = (node: NodeId, seeds: readonly NodeId[], keys: readonly NodeId[] = []): OpenedAnswer => ({
  ...{ stage: 'unmask', node },
  seeds: seeds.map((of) => ({ of, share: `seed of ${of} with ${node}` })),
  keys: keys.map((of) => ({ of, share: `key of ${of} with ${node}` })),
});
const answer = (of: Answer): Fact => ({ kind: 'answer', answer: of });
const closed = (stage: Answer['stage']): Fact => ({ kind: 'closed', stage });
const survivors = (...nodes: NodeId[]): Fact => ({ kind: 'survivors', survivors: nodes });

const complete = ({ roster }: Drawing) =>
  new Map([...roster.keys()].map((node) => [node, new Set([...roster.keys()].filter((peer) => peer !== node))]));
/** A ring in the order of the roster, each with one on either side. */
const ring = ({ roster }: Drawing) => {
  const nodes = [...roster.keys()];
  const at = (index: number) => nodes[(index + nodes.length) % nodes.length] as NodeId;
  return new Map(nodes.map((node, index) => [node, new Set([at(index - 1), at(index + 1)])]));
};
const fold = (facts: readonly Fact[], of = opened(), neighbours = complete): Round =>
  facts.reduce<Round>((round, fact) => {
    const next = afterFact(round, fact);
    return next.stage === 'draw' ? drawn(next, neighbours(next)) : next;
  }, beginRound(of));

const advertised = NODES.map((node) => answer(advert(node)));
const shared = [...advertised, ...NODES.map((node) => answer(shares(node)))];
const survived = [...shared, survivors('2', '3', '10', '11')];
const confirmed = [...survived, ...['2', '3', '10', '11'].map((node) => answer(confirmation(node)))];
const openedBy = (...nodes: NodeId[]) => nodes.map((node) => answer(opening(node, ['2', '3', '10', '11'], ['12'])));

const stageOf = (facts: readonly Fact[], of = opened()) => fold(facts, of).stage;
const refused = (round: Round, of: Answer): string => {
  try {
    checkAnswer(round, of);
    return '';
  } catch (error) {
    const { code, detail } = error as { code: string; detail: string };
    return `${code} ${detail}`;
  }
};

describe('a round that is opened', () => {
  it.each<[string, (of: Opened) => Opened]>([
    ['a model_id that is none', (of) => ({ ...of, modelId: 'x' })],
    ['a plan that is none', (of) => ({ ...of, terms: { ...of.terms, plan: 'zz' } })],
    ['everybody colluding', (of) => ({ ...of, colluders: 1 })],
    ['no time', (of) => ({ ...of, stageSeconds: 0 })],
    ['more shares than holders', (of) => ({ ...of, terms: { ...of.terms, threshold: 6 } })],
    ['one share that opens', (of) => ({ ...of, terms: { ...of.terms, threshold: 1 } })],
    ['a sum of one', (of) => ({ ...of, terms: { ...of.terms, minSurvivors: 1 } })],
    ['fewer nodes than must survive', (of) => ({ ...of, cohort: of.cohort.slice(0, 2) })],
    ['a node twice', (of) => ({ ...of, cohort: [...of.cohort, { taskId: 'other', node: '2' }] })],
    ['a task twice', (of) => ({ ...of, cohort: [...of.cohort, { taskId: 'task-2', node: '99' }] })],
  ])('with %s is refused', (_what, change) => {
    expect(() => checkOpened(change(opened()))).toThrow(expect.objectContaining({ code: 'REQUEST_MALFORMED' }));
    expect(() => checkOpened(opened())).not.toThrow();
    expect(isSameRound(opened(), change(opened()))).toBe(false);
  });

  it('is the same in whichever trace', () => {
    expect(isSameRound(opened(), { ...opened(), traceparent: '00-1-2-01' })).toBe(true);
  });

  it.each([
    [5, 0, 3],
    [4, 0, 3],
    [5, 0.2, 4],
    [3, 1 / 3, 3],
    [1000, 0.1, 551],
  ])('of %i nodes of which %d collude has a quorum of %i', (roster, colluders, quorum) => {
    expect(quorumOf(roster, colluders)).toBe(quorum);
    expect(2 * quorum).toBeGreaterThan(roster + Math.ceil(roster * colluders - 1e-9));
  });
});

describe('adverts', () => {
  it('are complete when everybody came, or when the time is over and enough did', () => {
    expect(stageOf(advertised.slice(0, 4))).toBe('advertise');
    expect(timedStage(fold(advertised.slice(0, 4)))).toBe('advertise');
    expect(stageOf(advertised)).toBe('share');
    const round = fold([...advertised.slice(0, 4), closed('advertise')]);
    expect(round).toMatchObject({ stage: 'share', excluded: [{ node: '12', reason: 'NOT_ADVERTISED' }] });
    expect(stageOf([...advertised.slice(0, 2), closed('advertise')])).toBe('ended');
    expect(fold([...advertised.slice(0, 3), closed('advertise')], opened({ threshold: 4 }))).toMatchObject({
      ...{ stage: 'ended', code: 'SECAGG_TOO_FEW' },
      reason: '3 of 5 nodes advertised their keys in time; 4 are needed.',
    });
  });

  it('are asked of nobody after that, and change nothing', () => {
    const round = fold([...advertised.slice(0, 4), closed('advertise')]);
    expect(refused(round, advert('12'))).toContain('SECAGG_ROUND_OVER The round goes on without it: NOT_ADVERTISED');
    expect(afterFact(round, answer(advert('12')))).toBe(round);
    expect(() => nextRequest(round, 'advertise', '12')).toThrow(expect.objectContaining({ code: 'SECAGG_ROUND_OVER' }));
  });

  it.each<[string, AdvertAnswer, string]>([
    ['of another node', advert('3', { node: '2' }), 'SECAGG_ANSWER The advert is of another node.'],
    ['of a subject that came before', advert('3', { subject: 'CN=2' }), 'SUBJECT_TWICE'],
    ['of a key that came before', advert('3', { advert: { ...advert('3').advert, maskKey: hex('c2') } }), 'KEY_TWICE'],
    [
      'with one key for two purposes',
      advert('3', { advert: { ...advert('3').advert, maskKey: hex('c3') } }),
      'KEY_TWICE',
    ],
    ['of a node that was not asked', advert('99'), 'SECAGG_ROUND_OVER The node is not of this round.'],
  ])('%s are refused', (_what, said, why) => {
    expect(refused(fold([answer(advert('2'))]), said)).toContain(why);
  });

  it('of two nodes with one certificate that were written down at once: the first stands', () => {
    const twin = answer(advert('3', { subject: 'CN=2' }));
    const round = fold([answer(advert('2')), twin, ...['10', '11', '12'].map((node) => answer(advert(node)))]);
    expect(round).toMatchObject({ stage: 'share', excluded: [{ node: '3', reason: 'ADVERT_OF_ANOTHER' }] });
    expect(keptAnswer(round, 'advertise', '3')).toBeNull();
  });

  it('come to the same request for everybody, in the order of the nodes', () => {
    const round = fold([...advertised].reverse());
    const request = nextRequest(round, 'advertise', '2');
    expect(request).toMatchObject({ stage: 'share', roster: NODES.map((node) => ({ certificate: `PEM ${node}` })) });
    expect(nextRequest(fold([...shared].reverse().reverse()), 'advertise', '12')).toEqual(request);
    expect(nextRequest(fold(advertised.slice(1)), 'advertise', '3')).toBeNull();
  });
});

describe('shares', () => {
  it('are complete when everybody of the roster shared, or when the time is over and enough did', () => {
    expect(stageOf(shared.slice(0, -1))).toBe('share');
    expect(stageOf(shared)).toBe('mask');
    expect(timedStage(fold(shared))).toBeNull();
    const round = fold([...shared.slice(0, -1), closed('share')]) as Shared & Round;
    expect([...round.participants]).toEqual(['2', '3', '10', '11']);
    expect(round.excluded).toEqual([{ node: '12', reason: 'NOT_SHARED' }]);
    expect(stageOf([...shared.slice(0, 7), closed('share')])).toBe('ended');
  });

  it('are delivered to those who shared, of those who shared', () => {
    const round = fold([...shared.slice(0, -1), closed('share')]);
    const request = nextRequest(round, 'share', '3');
    expect(request).toEqual({
      stage: 'mask',
      shares: ['2', '10', '11'].map((peer) => ({ peer, sealed: `${peer}3`.padStart(248, '0') })),
    });
    expect(() => nextRequest(round, 'share', '12')).toThrow(expect.objectContaining({ code: 'SECAGG_ROUND_OVER' }));
    expect(nextRequest(fold(shared.slice(0, -1)), 'share', '3')).toBeNull();
  });

  it('of a node whose neighbours are gone do not count, nor do those that depend on it', () => {
    // A ring of five, 2 3 10 11 12; two of three holders open a secret. 3 is gone: 2 still has 12. With 12 gone as well nobody holds shares of 2.
    const of = opened({ degree: 2, threshold: 2, minSurvivors: 2 });
    const ringShares = (node: NodeId, ...peers: NodeId[]) => answer(shares(node, peers));
    const all = [
      ...advertised,
      ringShares('2', '12', '3'),
      ringShares('10', '3', '11'),
      ringShares('11', '10', '12'),
      closed('share'),
    ];
    expect(fold(all, of, ring)).toMatchObject({
      stage: 'mask',
      excluded: [
        { node: '2', reason: 'TOO_FEW_NEIGHBOURS' },
        { node: '3', reason: 'NOT_SHARED' },
        { node: '12', reason: 'NOT_SHARED' },
      ],
    });
  });

  it.each<[string, SharesAnswer, string]>([
    ['for somebody who is no neighbour', shares('2', ['3', '10', '11', '99']), 'A share is for 99'],
    ['for itself', shares('2', ['2', '3', '10', '11', '12']), 'A share is for 2'],
    ['twice', shares('2', ['3', '3', '10', '11', '12']), 'Two shares are for one neighbour'],
    ['missing', shares('2', ['3', '10', '11']), 'There are 3 shares for 4 neighbours'],
    [
      'too long',
      { ...shares('2'), shares: shares('2').shares.map((one) => ({ ...one, sealed: '00' })) },
      'A sealed share has another length',
    ],
  ])('that are %s are refused', (_what, said, why) => {
    expect(refused(fold(advertised), said)).toContain(`SECAGG_ANSWER ${why}`);
    expect(refused(fold(advertised), shares('2'))).toBe('');
  });

  it('are not taken before the roster stands', () => {
    expect(refused(fold(advertised.slice(1)), shares('3'))).toContain('SECAGG_ANSWER The round has not come');
    expect(() => nextRequest(fold(advertised), 'mask', '3')).toThrow(
      expect.objectContaining({ code: 'SECAGG_ANSWER' }),
    );
  });
});

describe('survivors', () => {
  it('are those of the aggregator, once, and the others have dropped', () => {
    expect(fold([...shared, survivors('11', '2', '10', '3')])).toMatchObject({
      ...{ stage: 'confirm', survivors: ['2', '3', '10', '11'], dropped: ['12'] },
    });
    const round = fold(survived);
    expect(afterFact(round, survivors('2', '3', '10'))).toBe(round);
    expect(nextRequest(fold(shared), 'mask', '2')).toBeNull();
    expect(nextRequest(round, 'mask', '2')).toEqual({ stage: 'confirm', survivors: ['2', '3', '10', '11'] });
    expect(() => nextRequest(round, 'mask', '12')).toThrow(
      expect.objectContaining({ code: 'SECAGG_ROUND_OVER', detail: 'Its vector is not in the sum.' }),
    );
  });

  it('below the floor, the quorum or the threshold end the round before anybody is asked', () => {
    const end = (facts: readonly Fact[], of = opened()) => fold(facts, of);
    expect(end([...shared, survivors('2', '3')])).toMatchObject({ stage: 'ended', code: 'SECAGG_TOO_FEW' });
    expect(end([...shared, survivors()])).toMatchObject({ stage: 'ended', code: 'SECAGG_TOO_FEW' });
    expect(end([...shared, survivors('2', '3', '10')], opened({}, 0.2))).toMatchObject({
      reason: '3 nodes handed in a vector; needed are at least 3, and a quorum of 4 of the roster of 5.',
    });
    expect(end([...shared, survivors('2', '3', '10')], opened({ threshold: 4 }))).toMatchObject({
      reason: 'The secret of node 2 needs 4 shares, and 3 are with the rest of the nodes that handed in a vector.',
    });
  });

  it('that did not share, or are named twice, are refused', () => {
    const round = fold([...shared.slice(0, -1), closed('share')]) as Shared & Round;
    for (const wrong of [['2', '2', '3'], ['2', '3', '12'], ['99']]) {
      expect(() => checkSurvivors(round, wrong)).toThrow(expect.objectContaining({ code: 'REQUEST_MALFORMED' }));
    }
    expect(() => checkSurvivors(round, ['2', '3', '10'])).not.toThrow();
  });
});

describe('confirmations', () => {
  it('are waited for until all are there, or the time is over and there is a quorum', () => {
    expect(stageOf(confirmed.slice(0, -1))).toBe('confirm');
    expect(stageOf(confirmed)).toBe('unmask');
    expect(stageOf([...confirmed.slice(0, -1), closed('confirm')])).toBe('unmask');
    expect(fold([...confirmed.slice(0, -2), closed('confirm')])).toMatchObject({
      ...{ stage: 'ended', code: 'SECAGG_TOO_FEW' },
      reason: '2 of 4 survivors confirmed in time; a quorum is 3.',
    });
    const threshold = fold([...confirmed.slice(0, -1), closed('confirm')], opened({ threshold: 4 }));
    expect(threshold).toMatchObject({ stage: 'ended', reason: expect.stringContaining('of the nodes that confirmed') });
  });

  it('are shown to those who confirmed, and nobody else is asked to open', () => {
    const round = fold([...confirmed.slice(0, -1), closed('confirm')]);
    expect(nextRequest(round, 'confirm', '2')).toEqual({
      ...{ stage: 'unmask', survivors: ['2', '3', '10', '11'], dropped: ['12'] },
      confirmations: ['2', '3', '10'].map((node) => confirmation(node).confirmation),
    });
    expect(nextRequest(fold(survived), 'confirm', '2')).toBeNull();
    expect(refused(round, confirmation('11'))).toContain('SECAGG_ROUND_OVER The answer came when the time');
    expect(() => nextRequest(round, 'confirm', '11')).toThrow(expect.objectContaining({ code: 'SECAGG_ROUND_OVER' }));
  });

  it('of another node or model, or of a node that dropped, are refused', () => {
    const round = fold(survived);
    expect(refused(round, { ...confirmation('3'), node: '2' })).toContain('of another node');
    const other = { ...confirmation('2').confirmation, model: hex('0') };
    expect(refused(round, { ...confirmation('2'), confirmation: other })).toContain('MODEL_DIFFERS');
    expect(refused(round, confirmation('12'))).toContain('SECAGG_ROUND_OVER Its vector is not in the sum.');
  });
});

describe('openings', () => {
  it('are enough when every secret has a threshold of shares', () => {
    expect(stageOf([...confirmed, ...openedBy('2', '3')])).toBe('unmask');
    expect(stageOf([...confirmed, ...openedBy('2', '3', '11')])).toBe('open');
    expect(fold([...confirmed, ...openedBy('2', '3'), closed('unmask')])).toMatchObject({
      ...{ stage: 'ended', code: 'SECAGG_TOO_FEW' },
      reason: expect.stringContaining('2 of the 4 nodes that confirmed opened'),
    });
  });

  it.each<[string, OpenedAnswer, string]>([
    [
      'both secrets of a node',
      opening('2', ['2', '3', '10', '11'], ['12', '3']),
      'Of keys, 1 are of nodes nobody asked for',
    ],
    ['the seed of a node that dropped', opening('2', ['2', '3', '10', '11', '12'], ['12']), 'Of seeds, 1 are of nodes'],
    ['too little', opening('2', ['2', '3', '10'], ['12']), 'Of seeds, that of node 11 is missing'],
    ['nothing of who dropped', opening('2', ['2', '3', '10', '11']), 'Of keys, that of node 12 is missing'],
    ['one twice', opening('2', ['2', '3', '3', '10', '11'], ['12']), 'Two seeds are of one node'],
  ])('that are %s are refused', (_what, said, why) => {
    expect(refused(fold(confirmed), said)).toContain(`SECAGG_ANSWER ${why}`);
    expect(refused(fold(confirmed), opening('2', ['2', '3', '10', '11'], ['12']))).toBe('');
  });

  it('are the last word, and still taken when there are enough', () => {
    const round = fold([...confirmed, ...openedBy('2', '3', '11')]);
    expect(nextRequest(round, 'unmask', '10')).toEqual({ stage: 'done' });
    expect(refused(round, opening('10', ['2', '3', '10', '11'], ['12']))).toBe('');
    expect(refused(round, opening('10', ['2', '3', '10', '11']))).toContain('SECAGG_ANSWER');
    expect(refused(round, opening('12', []))).toContain('SECAGG_ROUND_OVER');
    const more = fold([...confirmed, ...openedBy('2', '3', '11', '10')]);
    expect(more).toMatchObject({ stage: 'open' });
    expect(keptAnswer(more, 'unmask', '10')).not.toBeNull();
    expect(timedStage(more)).toBeNull();
  });
});

describe('the end', () => {
  it('is for everybody, wherever the round was', () => {
    for (const facts of [[], advertised, shared, survived, confirmed]) {
      const round = fold([...facts, { kind: 'ended', code: 'SECAGG_ROUND_OVER', reason: 'The run was stopped.' }]);
      expect(round.stage).toBe('ended');
      expect(refused(round, advert('2'))).toBe('SECAGG_ROUND_OVER The run was stopped.');
      for (const stage of ['advertise', 'share', 'mask', 'confirm', 'unmask'] as const) {
        expect(() => nextRequest(round, stage, '2')).toThrow(expect.objectContaining({ code: 'SECAGG_ROUND_OVER' }));
      }
      expect(afterFact(round, survivors('2', '3', '10'))).toBe(round);
      expect(timedStage(round)).toBeNull();
    }
  });

  it('of a stage that is over already changes nothing', () => {
    const round = fold(shared);
    for (const stage of ['advertise', 'share', 'confirm', 'unmask'] as const)
      expect(afterFact(round, closed(stage))).toBe(round);
  });
});

describe('what was kept of an answer', () => {
  it('stays as long as the round', () => {
    const round = fold([...confirmed, ...openedBy('2', '3', '11')]);
    for (const of of [advert('2'), shares('2'), confirmation('2'), opening('2', ['2', '3', '10', '11'], ['12'])]) {
      expect(keptAnswer(round, of.stage, '2')).toEqual(of);
      expect(keptAnswer(fold([]), of.stage, '2')).toBeNull();
    }
    expect(keptAnswer(round, 'confirm', '12')).toBeNull();
    expect(keptAnswer(fold(advertised), 'share', '2')).toBeNull();
  });
});
