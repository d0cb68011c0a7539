// Stage by stage: who is asked what, what is refused, and how a round ends that cannot be summed. Random lists of what can happen are in
// random-rounds.test.ts.
import { describe, expect, it } from 'vitest';
import { Play, settings } from '../../testing/flower-round.ts';
import type { Answer, Stage } from './answer.ts';
import { removalOf } from './removal.ts';
import { requestTo } from './request.ts';
import { askedIn, checkAnswer, waitedFor } from './round.ts';

const FOUR = [11n, 2n ** 63n + 5n, 3n, 40n] as const;
const [A, B, C, D] = FOUR;
const play = (threshold = 3, ring: readonly bigint[] = FOUR) =>
  new Play(ring, settings({ count: ring.length }, { count: threshold }));
const code = (run: () => void): string => {
  try {
    run();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return '';
};
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const last = ({ round }: Play) => (round.stage === 'ended' ? round : null);
const sumOf = (one: Play, ...nodes: bigint[]): number =>
  nodes.reduce((sum, node) => sum + (one.nodes.get(node)?.value ?? Number.NaN), 0);

describe('a compatible round', () => {
  it('asks four times and opens the sum', () => {
    const one = play();
    expect(requestTo(one.round, A)).toEqual({
      ...{ stage: 'setup', sampleNum: 4, shareNum: 4, threshold: 3 },
      ...{ clippingRange: 8, targetRange: 2 ** 22, modRange: 2 ** 32, maxWeight: 1000 },
    });
    one.stage();
    const shown = requestTo(one.round, B);
    expect(shown?.stage === 'share_keys' && shown.keys.map(({ node }) => node)).toEqual([C, A, D, B]);
    one.stage();
    const passed = requestTo(one.round, B);
    expect(passed?.stage === 'collect_masked_vectors' && passed.sealed.map(({ from }) => from)).toEqual([C, A, D]);
    one.stage();
    expect(requestTo(one.round, A)).toEqual({ stage: 'unmask', active: [C, A, D, B], dead: [] });
    one.stage();
    expect(one.opened()).toEqual({ delivered: [...FOUR], sum: sumOf(one, ...FOUR) });
    expect(requestTo(one.round, A)).toBeNull();
  });

  it.each([
    ['setup', 0, [A, B, D], []],
    ['share_keys', 1, [A, B, D], []],
    ['collect_masked_vectors', 2, [A, B, D], [C]],
    ['unmask', 3, [...FOUR], []],
  ] as const)('goes on without a node that fails in %s', (_, at, summed, dead) => {
    const one = play();
    for (let stage = 0; stage < 4; stage += 1) {
      if (stage === 3) expect(requestTo(one.round, A)).toMatchObject({ dead });
      one.stage(...(stage === at ? [C] : []));
    }
    expect(one.opened()).toEqual({ delivered: [...summed], sum: sumOf(one, ...summed) });
    expect(one.bothAsked()).toEqual([]);
  });

  it('lists nobody as dead who never shared: Flower does, and loses the round', () => {
    const one = play(2).stage(C).stage(D).stage();
    expect(requestTo(one.round, A)).toEqual({ stage: 'unmask', active: [A, B], dead: [] });
    expect(one.stage().opened().sum).toBe(sumOf(one, A, B));
  });

  it('waits for nobody once every secret has its shares', () => {
    const one = play().stage().stage().stage();
    for (const node of [A, B, C]) {
      expect(one.round.stage).toBe('unmask');
      one.hand(one.ask(node));
    }
    expect(one.opened().sum).toBe(sumOf(one, ...FOUR));
    expect(code(() => checkAnswer(one.round, { stage: 'unmask', node: D, openings: [] }))).toBe('SECAGG_ROUND_OVER');
  });

  it('closes a stage when its time is over, and no other', () => {
    const one = play();
    for (const node of [A, B, D]) one.hand(one.ask(node));
    const before = one.round;
    for (const stage of ['share_keys', 'collect_masked_vectors', 'unmask'] as const)
      expect(one.write({ kind: 'closed', stage }).round).toBe(before);
    one.write({ kind: 'closed', stage: 'setup' });
    expect([...askedIn(one.round)]).toEqual([A, B, D]);
  });

  it('asks the same however often, and whoever has answered meanwhile', () => {
    const one = play();
    for (let stage = 0; stage < 4; stage += 1) {
      const first = FOUR.map((node) => requestTo(one.round, node));
      one.hand(one.ask(A));
      expect(FOUR.map((node) => requestTo(one.round, node))).toEqual(first);
      expect(FOUR.map((node) => requestTo(one.restarted(), node))).toEqual(first);
      one.stage();
    }
  });

  it('shares on a ring, and masks with neighbours alone', () => {
    const ring = [1n, 2n, 3n, 4n, 5n, 6n, 7n];
    const one = new Play(ring, settings({ count: 3 }, { count: 2 })).stage().stage();
    const passed = requestTo(one.round, 1n);
    expect(passed?.stage === 'collect_masked_vectors' && passed.sealed.map(({ from }) => from)).toEqual([2n, 7n]);
    one.stage(4n);
    expect(requestTo(one.round, 3n)).toEqual({ stage: 'unmask', active: [2n, 3n], dead: [4n] });
    expect(requestTo(one.round, 1n)).toEqual({ stage: 'unmask', active: [1n, 2n, 7n], dead: [] });
    expect(one.stage().opened().sum).toBe(sumOf(one, 1n, 2n, 3n, 5n, 6n, 7n));
  });

  it('leaves out nodes with too few neighbours, and then those who have too few without them', () => {
    const ring = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];
    const one = new Play(ring, settings({ count: 3 }, { count: 3 })).stage();
    // of 1 … 8 on a ring with three shares that are all needed, one that fails takes everybody with it
    one.stage(4n);
    expect(last(one)).toMatchObject({ code: 'SECAGG_TOO_FEW', reason: expect.stringMatching(/^7 of 8 nodes shared/) });

    const other = new Play(ring, settings({ count: 5 }, { count: 4 })).stage();
    other.stage(3n, 4n);
    expect(last(other)?.code).toBe('SECAGG_TOO_FEW');
    const third = new Play(ring, settings({ count: 5 }, { count: 3 })).stage().stage(3n, 4n);
    expect([...askedIn(third.round)]).toEqual([1n, 2n, 5n, 6n, 7n, 8n]);
  });

  it('passes nothing on of a node that is left out', () => {
    const ring = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n];
    const one = new Play(ring, settings({ count: 5 }, { count: 3 }));
    // 5 keeps itself and one neighbour
    one.stage(3n, 4n, 6n);
    expect([...askedIn(one.round)]).toEqual([1n, 2n, 7n, 8n, 9n]);
    one.stage();
    const passed = requestTo(one.round, 7n);
    expect(passed?.stage === 'collect_masked_vectors' && passed.sealed.map(({ from }) => from)).toEqual([8n, 9n]);
    expect(one.stage().stage().opened().sum).toBe(sumOf(one, 1n, 2n, 7n, 8n, 9n));
  });

  it('ends, and opens nothing, where shares of a secret would be too few', () => {
    const reasons = [
      play().stage(A, B),
      play().stage().stage(A, B),
      play().stage().stage().stage(A, B),
      play().stage().stage().stage().stage(A, B),
      play(2).stage().stage().stage(A, B, C),
    ].map((one) => last(one));
    expect(reasons.map((end) => end?.code)).toEqual(Array(5).fill('SECAGG_TOO_FEW'));
    expect(reasons.map((end) => end?.reason)).toEqual([
      '2 of 4 nodes sent their keys in time; too few of them have 3 neighbours left, themselves included.',
      '2 of 4 nodes shared them in time; too few of them have 3 neighbours left, themselves included.',
      expect.stringMatching(/^2 of 4 nodes delivered in time; fewer than 3 of them hold a share of node \d+\.$/),
      '2 of 4 nodes opened their shares in time; some secret has fewer than 3.',
      '1 of 4 nodes delivered in time; a sum needs two.',
    ]);
  });

  it('needs no secret of a dropped node whose neighbours are all gone', () => {
    const ring = Array.from({ length: 12 }, (_, at) => BigInt(at + 1));
    // without 3 and 6, the nodes 4 and 5 mask with each other alone
    const one = new Play(ring, settings({ count: 3 }, { count: 2 })).stage(3n, 6n).stage().stage(4n, 5n, 9n);
    expect(requestTo(one.round, 8n)).toEqual({ stage: 'unmask', active: [7n, 8n], dead: [9n] });
    one.stage();
    const removal = one.round.stage === 'open' ? removalOf(one.round) : null;
    expect(removal?.keys.map(({ node }) => node)).toEqual([9n]);
    expect(one.opened().sum).toBe(sumOf(one, 1n, 2n, 7n, 8n, 10n, 11n, 12n));
  });

  it('begins anew with the same nodes, and their fresh keys', () => {
    const one = play().stage().stage().stage(A, B);
    expect(last(one)?.code).toBe('SECAGG_TOO_FEW');
    const again = new Play(FOUR, settings({ count: 4 }, { count: 3 }), one.nodes, 2);
    expect(again.stage().stage().stage().stage().opened().sum).toBe(sumOf(again, ...FOUR));
  });

  it('stays ended', () => {
    const one = play().write({ kind: 'ended', reason: 'The run was stopped.' });
    const { round } = one;
    expect(round).toEqual({ stage: 'ended', code: 'SECAGG_ROUND_OVER', reason: 'The run was stopped.' });
    expect(one.write({ kind: 'closed', stage: 'setup' }).round).toBe(round);
    expect(waitedFor(round).size).toBe(0);
    expect(code(() => checkAnswer(round, play().ask(A)))).toBe('SECAGG_ROUND_OVER');
  });
});

describe('an answer', () => {
  const stages = ['setup', 'share_keys', 'collect_masked_vectors', 'unmask'] as const;
  const at = (stage: Stage): Play => {
    const one = play();
    for (const name of stages) if (stages.indexOf(name) < stages.indexOf(stage)) one.stage();
    return one;
  };

  it.each(stages)('to %s is taken once, from those who are asked', (stage) => {
    const one = at(stage);
    const answer = one.ask(A);
    expect(one.hand(answer)).toBeNull();
    const before = one.round;
    expect(one.hand(answer)).toBe('SECAGG_SECOND_ANSWER');
    expect(one.write({ kind: 'answer', answer }).round).toBe(before);
    expect(one.hand({ ...one.ask(B), node: 99n } as Answer)).toBe('SECAGG_ROUND_OVER');
    one.write({ kind: 'left', node: C, stage });
    const late = one.round;
    expect(one.hand({ ...answer, node: C } as Answer)).toBe('SECAGG_ROUND_OVER');
    expect(one.write({ kind: 'answer', answer: { ...answer, node: C } as Answer }).round).toBe(late);
  });

  it.each(stages)('to another stage than %s is refused', (stage) => {
    const one = at(stage);
    for (const other of stages.filter((name) => name !== stage)) {
      const answer = at(other).ask(A);
      const expected = stages.indexOf(other) < stages.indexOf(stage) ? 'SECAGG_ROUND_OVER' : 'SECAGG_ANSWER';
      expect(one.hand(answer)).toBe(expected);
    }
  });

  it('that came after a node was counted as gone changes nothing', () => {
    const one = at('collect_masked_vectors').stage(C);
    const { round } = one;
    expect(one.hand({ stage: 'collect_masked_vectors', node: C })).toBe('SECAGG_ROUND_OVER');
    one.write({ kind: 'answer', answer: { stage: 'collect_masked_vectors', node: C } });
    expect(one.round).toBe(round);
    // and who has answered is not gone
    const other = at('setup');
    other.hand(other.ask(A));
    expect(waitedFor(other.write({ kind: 'left', node: A, stage: 'setup' }).round)).toEqual(new Set([B, C, D]));
    expect([...askedIn(other.stage().round)]).toEqual([...FOUR]);
  });

  it('has two keys of its own', () => {
    const one = at('setup');
    const good = one.ask(A) as Extract<Answer, { stage: 'setup' }>;
    const changed = (change: Partial<typeof good>) => one.hand({ ...good, ...change });
    expect(changed({ pk2: good.pk1 })).toBe('SECAGG_ANSWER');
    for (const pem of [
      '',
      'x'.repeat(400),
      text(good.pk1).replace('MHYw', 'MFYw'),
      text(good.pk1).replace('PUBLIC', 'PRIVATE'),
      `${text(good.pk1)}\n`,
      text(good.pk1).slice(0, -40),
    ])
      expect(changed({ pk1: bytes(pem) }), pem).toBe('SECAGG_ANSWER');
    const other = one.ask(B) as typeof good;
    expect(one.hand(other)).toBeNull();
    // nodes fail when they are shown one key twice
    expect(changed({ pk1: other.pk1 })).toBe('SECAGG_ANSWER');
    expect(changed({ pk2: other.pk1 })).toBe('SECAGG_ANSWER');
    expect(changed({})).toBeNull();
  });

  it('has one ciphertext for every neighbour', () => {
    const one = at('share_keys');
    const good = one.ask(A) as Extract<Answer, { stage: 'share_keys' }>;
    const [first, second] = good.sealed as [(typeof good.sealed)[0], (typeof good.sealed)[0]];
    const changed = (sealed: typeof good.sealed) => one.hand({ ...good, sealed });
    expect(changed([])).toBe('SECAGG_ANSWER');
    expect(changed(good.sealed.slice(1))).toBe('SECAGG_ANSWER');
    expect(changed([...good.sealed, first])).toBe('SECAGG_ANSWER');
    expect(changed([first, first, second])).toBe('SECAGG_ANSWER');
    expect(changed([...good.sealed.slice(1), { ...first, to: A }])).toBe('SECAGG_ANSWER');
    expect(changed([...good.sealed.slice(1), { ...first, to: 99n }])).toBe('SECAGG_ANSWER');
    for (const length of [0, 5000])
      expect(changed([...good.sealed.slice(1), { ...first, ciphertext: new Uint8Array(length) }])).toBe(
        'SECAGG_ANSWER',
      );
    expect(changed(good.sealed.toReversed())).toBeNull();
  });

  it('opens what was asked for, no more and no less, and of each node the one kind', () => {
    const one = play(2).stage().stage().stage(D);
    const good = one.ask(A) as Extract<Answer, { stage: 'unmask' }>;
    const dead = good.openings.findIndex(({ of }) => of === D);
    const changed = (openings: typeof good.openings) => one.hand({ ...good, openings });
    const with_ = (at: number, change: Partial<(typeof good.openings)[0]>) =>
      changed(good.openings.map((opening, i) => (i === at ? { ...opening, ...change } : opening)));
    expect(changed([])).toBe('SECAGG_ANSWER');
    expect(changed(good.openings.slice(1))).toBe('SECAGG_ANSWER');
    expect(changed([...good.openings, { of: 99n, share: new Uint8Array(52) }])).toBe('SECAGG_ANSWER');
    expect(with_(0, { of: good.openings[1]?.of ?? 0n })).toBe('SECAGG_ANSWER');
    // a key's share for an active node, a seed's for a dead one
    expect(with_(0, { share: new Uint8Array(324).fill(1, 0, 1) })).toBe('SECAGG_ANSWER');
    expect(with_(dead, { share: new Uint8Array(52).fill(1, 0, 1) })).toBe('SECAGG_ANSWER');
    for (const length of [0, 3, 4, 325, 4 + 65 * 16])
      expect(with_(dead, { share: new Uint8Array(length).fill(1, 0, 1) })).toBe('SECAGG_ANSWER');
    for (const index of [0, 5, 255])
      expect(with_(0, { share: new Uint8Array(52).fill(index, 0, 1) })).toBe('SECAGG_ANSWER');
    expect(changed(good.openings)).toBeNull();
  });

  it('that claims the share of another counts for one', () => {
    const one = play().stage().stage().stage();
    const [a, b, c, d] = FOUR.map((node) => one.ask(node) as Extract<Answer, { stage: 'unmask' }>);
    if (!a || !b || !c || !d) throw new Error('four nodes answer');
    one.hand(a);
    one.hand({ ...b, openings: a.openings });
    one.hand(c);
    expect(one.round.stage).toBe('unmask');
    one.hand(d);
    expect(one.opened().sum).toBe(sumOf(one, ...FOUR));
  });
});
