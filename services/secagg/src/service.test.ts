import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
import { recordingTelemetry } from '@aegis/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { MemoryRoundStore } from './store/memory.ts';
import { Federation, openSum, type Plan, planOf, TestNode } from './testing/cohort.ts';
import { STAGE_SECONDS, serviceOn, type TestService } from './testing/service.ts';

let federation: Federation;
beforeAll(async () => {
  federation = await Federation.create();
});

const cohortOf = async (plan: Plan, names = Array.from({ length: plan.cohort }, (_, at) => `node-${at + 1}`)) =>
  Promise.all(
    names.map(
      async (name, at) => new TestNode(String(at + 1), at + 1, await federation.identity(name), plan, Date.now()),
    ),
  );
const opened = async (count = 5, options: Parameters<typeof planOf>[1] = {}) => {
  const plan = await planOf(count, options);
  const nodes = await cohortOf(plan);
  const store = new MemoryRoundStore();
  const service = serviceOn(store, federation.rootPem);
  await service.open(plan, nodes);
  return { plan, nodes, store, service };
};
const idsOf = (nodes: readonly TestNode[]) => nodes.map(({ id }) => id);

/** Every one of these nodes as far as its vector. */
const vectorsOf = async (service: TestService, plan: Plan, nodes: readonly TestNode[]) =>
  Promise.all(
    nodes.map(async (node) => {
      const roster = await service.say(node, plan, 'advertise', node.advert());
      const delivery = await service.say(
        node,
        plan,
        'share',
        await node.share(roster.request, federation.openCertificate),
      );
      expect(delivery.stage).toBe(SecaggStage.MASK);
      return node.mask(delivery.request);
    }),
  );
const helpToOpen = async (service: TestService, plan: Plan, nodes: readonly TestNode[]) =>
  Promise.all(
    nodes.map(async (node) => {
      const survivors = await service.say(node, plan, 'mask');
      const list = await service.say(node, plan, 'confirm', await node.confirm(survivors.request));
      return service.say(node, plan, 'unmask', await node.unmask(list.request));
    }),
  );

describe('a masked round', () => {
  it('opens the sum of those whose vectors came, and of nobody else', async () => {
    const { plan, nodes, service } = await opened();
    const vectors = await vectorsOf(service, plan, nodes);
    expect(await service.awaitSharing(plan)).toEqual({
      participants: [1n, 2n, 3n, 4n, 5n],
      excluded: [],
      nothingYet: false,
    });
    const unmasked = service.unmask(plan, ['1', '3', '4', '5']);
    const survivors = nodes.filter(({ id }) => id !== '2');
    const words = await helpToOpen(service, plan, survivors);
    expect(words.filter(({ done }) => done)).toHaveLength(4);
    const { confirmed, mask } = await unmasked;
    expect(confirmed).toEqual([1n, 3n, 4n, 5n]);
    const delivered = vectors.filter((_, at) => at !== 1);
    expect(await openSum(plan, delivered, mask)).toBeCloseTo(1 + 3 + 4 + 5, 2);
    await expect(openSum(plan, vectors, mask)).rejects.toMatchObject({ code: 'SECAGG_SUM' });
    // The same again, for an aggregator that was restarted.
    expect((await service.unmask(plan, ['1', '3', '4', '5'])).mask).toEqual(mask);
    await expect(service.unmask(plan, idsOf(nodes))).rejects.toMatchObject({ code: 'SECAGG_KEY_CONFLICT' });
  });

  it('goes on without who did not advertise or share in time', async () => {
    const { plan, nodes, service } = await opened(7);
    const [first, second, third] = nodes;
    if (!first || !second || !third) throw new Error('there are seven');
    const early = nodes.slice(1);
    const rosters = early.map((node) => service.say(node, plan, 'advertise', node.advert()));
    await service.clock.advance(STAGE_SECONDS * 1000);
    const late = service.say(first, plan, 'advertise', first.advert());
    await expect(late).rejects.toMatchObject({
      code: 'SECAGG_ROUND_OVER',
      detail: expect.stringContaining('NOT_ADVERTISED'),
    });
    const sharing = early.slice(1).map(async (node, at) => {
      const { request } = (await rosters[at + 1]) as Awaited<(typeof rosters)[number]>;
      return service.say(node, plan, 'share', await node.share(request, federation.openCertificate));
    });
    while (service.rounds.size > 0 && (await sizeOfShares(service, plan)) < 5) await new Promise(setImmediate);
    await service.clock.advance(STAGE_SECONDS * 1000);
    expect((await Promise.all(sharing)).every(({ stage }) => stage === SecaggStage.MASK)).toBe(true);
    expect(await service.awaitSharing(plan)).toEqual({
      participants: [3n, 4n, 5n, 6n, 7n],
      excluded: [
        { nodeId: 1n, reason: 'NOT_ADVERTISED' },
        { nodeId: 2n, reason: 'NOT_SHARED' },
      ],
      nothingYet: false,
    });
  });
});

const sizeOfShares = async (service: TestService, plan: Plan): Promise<number> => {
  const { state } = await service.rounds.get({ runId: plan.terms.run, round: plan.terms.round });
  return 'shares' in state ? state.shares.size : 0;
};

describe('what no honest node says', () => {
  const cases: Record<
    string,
    (of: Awaited<ReturnType<typeof opened>>) => Promise<[TestNode, Buffer]> | [TestNode, Buffer]
  > = {
    'a certificate of another federation': async ({ plan, nodes: [node] }) => {
      const stranger = await (await Federation.create()).identity('node-1');
      const other = new TestNode('1', 1, stranger, plan, Date.now());
      return [node as TestNode, other.advert()];
    },
    'an advert signed by another key': ({ nodes: [node, other] }) => [
      node as TestNode,
      changed((node as TestNode).advert(), (said) => ({ ...said, certificate: other?.certificate })),
    ],
    'the advert of another node': ({ nodes: [node, other] }) => [node as TestNode, (other as TestNode).advert()],
    'an advert that has expired': async ({ plan }) => {
      const late = new TestNode('1', 1, await federation.identity('node-1'), plan, Date.now() - 2 * 86_400_000);
      return [late, late.advert()];
    },
    'a second node of one subject': async ({ plan, nodes: [node], service }) => {
      const twin = new TestNode('2', 1, await federation.identity('node-1'), plan, Date.now());
      void service.say(node as TestNode, plan, 'advertise', (node as TestNode).advert()).catch(() => {});
      await turns();
      return [twin, twin.advert()];
    },
    'no JSON': ({ nodes: [node] }) => [node as TestNode, Buffer.from('{"advert":')],
    'more than the form has': ({ nodes: [node] }) => [
      node as TestNode,
      changed((node as TestNode).advert(), (said) => ({ ...said, vector: 'ff' })),
    ],
    'what is far too long': ({ nodes: [node] }) => [node as TestNode, Buffer.alloc(600_000, ' ')],
  };
  const codes: Record<string, string> = { 'a certificate of another federation': 'SECAGG_CERTIFICATE' };

  it.each(Object.keys(cases))('is refused when it comes: %s', async (which) => {
    const round = await opened();
    const [node, answer] = (await cases[which]?.(round)) ?? [];
    if (!node || !answer) throw new Error('no such case');
    const code = codes[which] ?? 'SECAGG_ANSWER';
    await expect(round.service.once(node, round.plan, 'advertise', answer)).rejects.toMatchObject({ code });
    // The round is as good as before.
    const vectors = await vectorsOf(round.service, round.plan, round.nodes);
    expect(vectors).toHaveLength(5);
  });

  it('is refused in the later stages as well', async () => {
    const { plan, nodes, service } = await opened();
    await vectorsOf(service, plan, nodes);
    const [first, second] = nodes as [TestNode, TestNode];
    const unmasked = service.unmask(plan, idsOf(nodes));
    await turns();
    const { request } = await service.say(first, plan, 'mask');
    const honest = await first.confirm(request);
    for (const lie of [
      changed(honest, (said) => ({ ...said, signature: flip(said.signature as string) })),
      changed(honest, (said) => ({ ...said, survivors: flip(said.survivors as string) })),
      changed(honest, (said) => ({ ...said, node: '2' })),
      Buffer.from('[]'),
    ]) {
      await expect(service.once(first, plan, 'confirm', lie)).rejects.toMatchObject({ code: 'SECAGG_ANSWER' });
    }
    await expect(service.once(first, plan, 'mask', Buffer.from('vector'))).rejects.toMatchObject({
      code: 'SECAGG_ANSWER',
    });
    const asking = nodes.map(async (node) => {
      const list = await service.say(node, plan, 'mask');
      return service.say(node, plan, 'confirm', await node.confirm(list.request));
    });
    const [asked] = await Promise.all(asking);
    const opening = await first.unmask((asked as { request: Buffer }).request);
    const share = { of: '2', share: 'ff'.repeat(48) };
    await expect(
      service.once(
        first,
        plan,
        'unmask',
        changed(opening, (said) => ({ ...said, keys: [share] })),
      ),
    ).rejects.toMatchObject({ code: 'SECAGG_ANSWER' });
    const seeds = (JSON.parse(opening.toString()).seeds as { of: string }[]).map((one) =>
      one.of === '2' ? share : one,
    );
    await expect(
      service.once(
        first,
        plan,
        'unmask',
        changed(opening, (said) => ({ ...said, seeds })),
      ),
    ).rejects.toMatchObject({ code: 'SECAGG_ANSWER', detail: expect.stringContaining('SECAGG_SHARES') });
    for (const node of nodes) {
      const answer =
        node === first ? opening : await node.unmask((await asking[nodes.indexOf(node)])?.request as Buffer);
      expect((await service.say(node, plan, 'unmask', answer)).done).toBe(true);
    }
    expect((await unmasked).confirmed).toHaveLength(5);
    expect(second.ended).toBeUndefined();
  });
});

describe('an answer', () => {
  it('is the same however often it is given, and another one is refused', async () => {
    const { plan, nodes, service } = await opened(4, { dropouts: 0.25 });
    const [node] = nodes as [TestNode];
    const waits = [1, 2, 3].map(() => service.say(node, plan, 'advertise', node.advert()));
    await turns();
    const again = new TestNode('1', 1, await federation.identity('node-1'), plan, Date.now());
    await expect(service.once(again, plan, 'advertise', again.advert())).rejects.toMatchObject({
      code: 'SECAGG_SECOND_ANSWER',
    });
    for (const other of nodes.slice(1)) void service.say(other, plan, 'advertise', other.advert()).catch(() => {});
    const requests = await Promise.all(waits);
    expect(new Set(requests.map(({ request }) => request.toString())).size).toBe(1);
    // Later still the same.
    const { request } = await service.say(node, plan, 'advertise', node.advert());
    expect(request).toEqual(requests[0]?.request);
  });

  it('is waited on without it only where one is kept', async () => {
    const { plan, nodes, service } = await opened();
    const [node] = nodes as [TestNode];
    await expect(service.once(node, plan, 'advertise', Buffer.alloc(0))).rejects.toMatchObject({
      code: 'SECAGG_ANSWER',
    });
    await expect(service.once(node, plan, 'share', Buffer.alloc(0))).rejects.toMatchObject({ code: 'SECAGG_ANSWER' });
    await expect(service.once(node, plan, 'mask', Buffer.alloc(0))).rejects.toMatchObject({ code: 'SECAGG_ANSWER' });
  });

  it('is held for a while and no longer, and nobody waits for ever for a caller that has gone', async () => {
    const { plan, nodes, service } = await opened();
    const [node] = nodes as [TestNode];
    const held = service.once(node, plan, 'advertise', node.advert());
    await turns();
    await service.clock.advance(19_999);
    expect(await Promise.race([held, Promise.resolve('held')])).toBe('held');
    await service.clock.advance(1);
    expect(await held).toMatchObject({ nothingYet: true, done: false });
    const gone = new AbortController();
    const waiting = service.once(node, plan, 'advertise', Buffer.alloc(0), gone.signal);
    await turns();
    gone.abort();
    await expect(waiting).rejects.toThrow();
    // The time of the stage is all that is left to wait for.
    expect(service.clock.pending).toBe(1);
  });

  it('to a task of another node, of another run, or of no round is over at once', async () => {
    const { plan, nodes, service } = await opened();
    const [first, second] = nodes as [TestNode, TestNode];
    const over = { code: 'SECAGG_ROUND_OVER' };
    const thief = Object.assign(Object.create(first), { id: second.id });
    await expect(service.once(thief, plan, 'advertise', first.advert())).rejects.toMatchObject(over);
    const elsewhere = { ...plan, terms: { ...plan.terms, run: '8' } };
    await expect(service.once(first, elsewhere, 'advertise', first.advert())).rejects.toMatchObject(over);
    const nobody = Object.assign(Object.create(first), { taskId: 'none' });
    await expect(service.once(nobody, plan, 'advertise', first.advert())).rejects.toMatchObject(over);
  });
});

describe('a round', () => {
  it('is opened once, and again with the same content only', async () => {
    const { plan, nodes, service } = await opened();
    await service.open(plan, nodes, { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` });
    await expect(service.open(plan, nodes, { modelId: 'cd'.repeat(32) })).rejects.toMatchObject({
      code: 'SECAGG_KEY_CONFLICT',
    });
    await expect(
      service.open({ ...plan, terms: { ...plan.terms, round: '0', threshold: 1 } }, nodes),
    ).rejects.toMatchObject({
      code: 'REQUEST_MALFORMED',
    });
  });

  it('is not opened where no root is known', async () => {
    const service = serviceOn(new MemoryRoundStore(), '');
    const plan = await planOf(3, { dropouts: 0 });
    await expect(service.open(plan, await cohortOf(plan))).rejects.toMatchObject({ code: 'SECAGG_NOT_SERVED' });
  });

  it('of too few nodes ends, says so to everybody who asks, and forgets', async () => {
    const { plan, nodes, service, store } = await opened();
    const [node] = nodes as [TestNode];
    const over = expect(service.say(node, plan, 'advertise', node.advert())).rejects;
    const refused = over.toMatchObject({ code: 'SECAGG_ROUND_OVER' });
    const sharing = service.awaitSharing(plan);
    await turns();
    await service.clock.advance(STAGE_SECONDS * 1000);
    await refused;
    await turns();
    expect(store.sizeOf({ runId: '7', round: '1' }), 'nobody needs to ask').toBe(1);
    // Its caller heard that there is nothing yet before the time was over.
    expect(await sharing).toMatchObject({ nothingYet: true });
    const tooFew = { code: 'SECAGG_TOO_FEW', detail: '1 of 5 nodes advertised their keys in time; 3 are needed.' };
    await expect(service.awaitSharing(plan)).rejects.toMatchObject(tooFew);
    const later = serviceOn(store, federation.rootPem);
    await expect(later.unmask(plan, ['1'])).rejects.toMatchObject(tooFew);
    expect(store.sizeOf({ runId: '7', round: '1' })).toBe(1);
    await service.end(plan);
    await expect(later.awaitSharing(plan)).rejects.toMatchObject(tooFew);
  });

  it.each([
    ['opens in spite of one node that opened wrong shares', 1],
    ['opens nothing when two did', 2],
  ])('%s', async (_what, liars) => {
    const { plan, nodes, service, store } = await opened(3, { dropouts: 0 });
    const vectors = await vectorsOf(service, plan, nodes);
    const unmasked = service.unmask(plan, idsOf(nodes)).catch((error: unknown) => error);
    await turns();
    const asked = await Promise.all(
      nodes.map(async (node) => {
        const list = await service.say(node, plan, 'mask');
        return service.say(node, plan, 'confirm', await node.confirm(list.request));
      }),
    );
    for (const [at, node] of nodes.entries()) {
      const answer = await node.unmask(asked[at]?.request as Buffer);
      const seeds = (JSON.parse(answer.toString()).seeds as { of: string; share: string }[]).map(({ of, share }) => ({
        of,
        share: `${share.startsWith('1') ? '2' : '1'}${share.slice(1)}`,
      }));
      const said = at < liars ? changed(answer, (honest) => ({ ...honest, seeds })) : answer;
      expect((await service.say(node, plan, 'unmask', said)).done).toBe(true);
    }
    const outcome = (await unmasked) as Awaited<ReturnType<TestService['unmask']>>;
    if (liars === 1) {
      expect(await openSum(plan, vectors, outcome.mask)).toBeCloseTo(1 + 2 + 3, 2);
      return;
    }
    expect(outcome).toMatchObject({ code: 'SECAGG_TOO_FEW', detail: expect.stringContaining('give no secret') });
    expect(store.sizeOf({ runId: '7', round: '1' })).toBe(1);
  });

  it('that its aggregator ends is over for everybody, here and in every other process', async () => {
    const { plan, nodes, service, store } = await opened();
    const other = serviceOn(store, federation.rootPem);
    const [node] = nodes as [TestNode];
    const waits = [service, other].map((one) =>
      one.say(node, plan, 'advertise', node.advert()).catch((error: unknown) => error),
    );
    await turns();
    await other.end(plan, 'The run was stopped.');
    for (const waiting of waits) {
      expect(await waiting).toMatchObject({ code: 'SECAGG_ROUND_OVER', detail: 'The run was stopped.' });
    }
    await expect(service.open(plan, nodes)).rejects.toMatchObject({ code: 'SECAGG_ROUND_OVER' });
    await service.end(plan);
    expect(service.clock.pending + other.clock.pending).toBe(0);
  });

  it('knows its survivors only once it is settled who takes part', async () => {
    const { plan, nodes, service } = await opened();
    await expect(service.unmask(plan, idsOf(nodes))).rejects.toMatchObject({ code: 'REQUEST_MALFORMED' });
    await vectorsOf(service, plan, nodes);
    await expect(service.unmask(plan, ['1', '2', '3', '99'])).rejects.toMatchObject({ code: 'REQUEST_MALFORMED' });
    await expect(service.unmask(plan, ['1', '2'])).rejects.toMatchObject({ code: 'SECAGG_TOO_FEW' });
  });

  it('shows each stage as a span of the trace that opened it', async () => {
    const { telemetry, spans } = recordingTelemetry();
    const plan = await planOf(3, { dropouts: 0 });
    const nodes = await cohortOf(plan);
    const service = serviceOn(new MemoryRoundStore(), federation.rootPem, { telemetry });
    const trace = '1'.repeat(32);
    await service.open(plan, nodes, { traceparent: `00-${trace}-${'2'.repeat(16)}-01` });
    await vectorsOf(service, plan, nodes);
    const unmasked = service.unmask(plan, idsOf(nodes));
    await turns();
    await helpToOpen(service, plan, nodes);
    await unmasked;
    const ours = spans().filter(({ name }) => name.startsWith('secagg.'));
    expect(ours.map(({ name }) => name)).toEqual(
      ['advertise', 'share', 'mask', 'confirm', 'unmask', 'total-mask'].map((stage) => `secagg.${stage}`),
    );
    for (const span of ours) expect(span.spanContext().traceId).toBe(trace);
  });
});

const turns = async (): Promise<void> => {
  for (let times = 0; times < 8; times += 1) await new Promise(setImmediate);
};
const flip = (digits: string): string => `${digits.slice(0, -1)}${digits.endsWith('1') ? '2' : '1'}`;
const changed = (answer: Buffer, change: (said: Record<string, unknown>) => object): Buffer =>
  Buffer.from(JSON.stringify(change(JSON.parse(answer.toString()))));
