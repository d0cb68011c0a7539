import { SecaggStage } from '@aegis/contracts/aegis/events/v1/task';
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
        await node.share(roster.request, service.openCertificate),
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
      return service.say(node, plan, 'share', await node.share(request, service.openCertificate));
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
