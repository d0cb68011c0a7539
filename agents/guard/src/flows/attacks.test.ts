import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Advert, SecaggClient, type SecaggClient as State } from '@aegis/core-native/secagg';
import { eventually } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { STAGES, type Stage, termsOf } from '../domain/masking.ts';
import type { ConfigEntry, Task } from '../domain/task.ts';
import { Federation } from '../testing/federation.ts';
import type { NamedAdvert } from '../testing/honest-peers.ts';
import { MaskedGuard, maskedTask, realModel } from '../testing/masked-guard.ts';
import { GUARD_NODE, MaskedServer, type Tamper } from '../testing/masked-server.ts';
import { pullTask } from './pull-task.ts';
import { readModel, readyModel } from './ready-model.ts';
import type { Signing } from './signing.ts';
import { takeOffer } from './take-offer.ts';

// What a server, its operator or an app may try against one guard. Each is refused under its own name, and nothing leaves.

const federation = await Federation.found();
const stranger = await Federation.found();
const own = await federation.signing('ada');
const others = new Map(
  await Promise.all(
    ['1', '2', '3', '4'].map(async (node) => [node, await federation.signing(`peer-${node}`)] as const),
  ),
);
const outsider = await stranger.signing('peer-1');
const peer = (node: string): Signing => others.get(node) ?? own;
const model = await realModel({ w: [1, 2, 3], b: [0.5] });
const task = maskedTask(model);
const loss: ConfigEntry = { key: 'loss', value: { kind: 'real', value: 6 } };
const trained = { w: [1.5, 2.5, 3.5], b: [1] };

let server: MaskedServer;
let node: MaskedGuard;
beforeEach(async () => {
  server = new MaskedServer(others, model.bytes);
  server.peersGive = { tensors: [[0, 0, 0], [0]], metrics: [1] };
  server.open(task);
  node = await MaskedGuard.open(server, own);
});
afterEach(() => node.remove());

/** An advert of this round, made by whoever has the key. */
const advertOf = (id: string, { key, certificatePem }: Signing, terms = task): NamedAdvert => {
  const floors = { cohort: 3, survivors: 3, colluders: 0 };
  const of = termsOf(terms.runId, terms.masking ?? never());
  const client: State = SecaggClient.advertise(id, of, floors, key, Math.ceil(Date.now() / 1000) + 600);
  return { advert: client.advert ?? never(), certificate: certificatePem };
};
const never = (): never => {
  throw new Error('the test is wrong');
};
type Roster = { adverts: NamedAdvert[] };
const replaced = (roster: Roster, id: string, by: NamedAdvert) => ({
  ...roster,
  adverts: roster.adverts.map((one) => (one.advert.node === id ? by : one)),
});
const flipped = (hex: string): string => `${hex.startsWith('0') ? '1' : '0'}${hex.slice(1)}`;
const me = `${GUARD_NODE}`;

const attacks: [name: string, at: Exclude<Stage, 'advertise'>, reason: string, tamper: Tamper][] = [
  ["this node's key is another's", 'share', 'KEY_SUBSTITUTED', { share: (r) => replaced(r, me, advertOf(me, own)) }],
  [
    'this node is left out',
    'share',
    'KEY_SUBSTITUTED',
    {
      share: (r: Roster) => ({
        ...r,
        adverts: r.adverts.filter((one) => one.advert.node !== me).concat(advertOf('5', own)),
      }),
    },
  ],
  [
    "a peer's key is the server's",
    'share',
    'ADVERT_UNSIGNED',
    { share: (r) => replaced(r, '1', { ...advertOf('1', own), certificate: peer('1').certificatePem }) },
  ],
  [
    'a peer is of another federation',
    'share',
    'SECAGG_CERTIFICATE',
    { share: (r) => replaced(r, '1', advertOf('1', outsider)) },
  ],
  [
    'a peer has no certificate',
    'share',
    'SECAGG_CERTIFICATE',
    { share: (r: Roster) => replaced(r, '1', { ...(r.adverts[0] ?? never()), certificate: '' }) },
  ],
  [
    'a key is changed on the way',
    'share',
    'ADVERT_UNSIGNED',
    {
      share: (r: Roster) =>
        replaced(r, '1', {
          ...(r.adverts[0] ?? never()),
          advert: { ...(r.adverts[0]?.advert ?? never()), maskKey: flipped(r.adverts[0]?.advert.maskKey ?? '') },
        }),
    },
  ],
  [
    'a roster of this node alone',
    'share',
    'COHORT_BELOW_FLOOR',
    { share: (r: Roster) => ({ ...r, adverts: r.adverts.filter((one) => one.advert.node === me) }) },
  ],
  [
    'a roster below the floor',
    'share',
    'COHORT_BELOW_FLOOR',
    { share: (r: Roster) => ({ ...r, adverts: r.adverts.slice(2) }) },
  ],
  [
    'a roster larger than the cohort',
    'share',
    'REQUEST_MALFORMED',
    { share: (r: Roster) => ({ ...r, adverts: [...r.adverts, advertOf('5', peer('1'))] }) },
  ],
  [
    'Sybils: two nodes of one subject',
    'share',
    'SUBJECT_TWICE',
    { share: (r) => replaced(r, '1', advertOf('5', peer('2'))) },
  ],
  ['a node twice', 'share', 'NODE_TWICE', { share: (r) => replaced(r, '1', advertOf('2', peer('1'))) }],
  [
    'adverts of another round',
    'share',
    'ADVERT_UNSIGNED',
    { share: (r) => replaced(r, '1', advertOf('1', peer('1'), maskedTask(model, {}, { round: 128n }))) },
  ],
  ['a request of another round', 'share', 'OTHER_ROUND', { share: (r) => ({ ...r, terms: 'ab'.repeat(32) }) }],
  [
    'a roster with something hidden in it',
    'share',
    'SECAGG_MALFORMED',
    {
      share: (r: Roster) =>
        replaced(r, '1', {
          ...(r.adverts[0] ?? never()),
          advert: { ...r.adverts[0]?.advert, more: 1 } as unknown as Advert,
        }),
    },
  ],
  ['shares of another round', 'mask', 'OTHER_ROUND', { mask: (r) => ({ ...r, terms: 'ab'.repeat(32) }) }],
  [
    'a share changed on the way',
    'mask',
    'SHARE_BROKEN',
    {
      mask: (r) => ({ ...r, shares: [{ ...r.shares[0], sealed: flipped(r.shares[0].sealed) }, ...r.shares.slice(1)] }),
    },
  ],
  [
    'a share of another pair',
    'mask',
    'SHARE_BROKEN',
    { mask: (r) => ({ ...r, shares: [{ ...r.shares[0], sealed: r.shares[1].sealed }, ...r.shares.slice(1)] }) },
  ],
  ['a share twice', 'mask', 'SHARE_TWICE', { mask: (r) => ({ ...r, shares: [...r.shares, r.shares[0]] }) }],
  [
    'a share of a stranger',
    'mask',
    'UNKNOWN_NODE',
    { mask: (r) => ({ ...r, shares: [{ ...r.shares[0], peer: '77' }, ...r.shares.slice(1)] }) },
  ],
  ['too few shares', 'mask', 'TOO_FEW_SHARES', { mask: (r) => ({ ...r, shares: r.shares.slice(0, 1) }) }],
  ['a model named by the server', 'mask', 'REQUEST_MALFORMED', { mask: (r) => ({ ...r, model: 'ab'.repeat(32) }) }],
  [
    'survivors without this node',
    'confirm',
    'NOT_AMONG_SURVIVORS',
    { confirm: (r) => ({ ...r, survivors: ['1', '2', '3', '4'] }) },
  ],
  ['too few survivors', 'confirm', 'SURVIVORS_BELOW_FLOOR', { confirm: (r) => ({ ...r, survivors: [me, '1', '2'] }) }],
  ['a survivor twice', 'confirm', 'NODE_TWICE', { confirm: (r) => ({ ...r, survivors: [...r.survivors, '1'] }) }],
  [
    'a survivor that nobody knows',
    'confirm',
    'UNKNOWN_NODE',
    { confirm: (r) => ({ ...r, survivors: [...r.survivors, '77'] }) },
  ],
  [
    'another set of survivors than was confirmed',
    'unmask',
    'SECOND_SURVIVOR_SET',
    { unmask: (r) => ({ ...r, survivors: r.survivors.slice(1), dropped: ['1'] }) },
  ],
  ['both secrets of one node', 'unmask', 'IN_BOTH_LISTS', { unmask: (r) => ({ ...r, dropped: ['1'] }) }],
  [
    'a node twice in what is opened',
    'unmask',
    'NODE_TWICE',
    { unmask: (r) => ({ ...r, survivors: [...r.survivors, '1'] }) },
  ],
  ['nobody else has confirmed', 'unmask', 'TOO_FEW_CONFIRMATIONS', { unmask: (r) => ({ ...r, confirmations: [] }) }],
  [
    'a confirmation counted twice',
    'unmask',
    'NODE_TWICE',
    { unmask: (r) => ({ ...r, confirmations: [...r.confirmations, r.confirmations[0]] }) },
  ],
  [
    'a confirmation that nobody signed',
    'unmask',
    'CONFIRMATION_UNSIGNED',
    { unmask: (r) => ({ ...r, confirmations: r.confirmations.map((one: object) => ({ ...one, signature: '00' })) }) },
  ],
];

const over = (of: Task = task) => eventually(() => node.guard.journal.masked(of.taskId)?.over ?? false);
const lines = async (event: string) => (await node.audit()).filter((line) => line.event === event);
/** Nothing secret is kept, and nothing but what was said before the attack has left. */
const nothingLeft = async (at: Stage) => {
  expect(server.said.map(({ stage }) => stage)).toEqual(STAGES.slice(0, STAGES.indexOf(at)));
  expect(server.submitted).toHaveLength(STAGES.indexOf(at) > STAGES.indexOf('mask') ? 1 : 0);
  expect(server.opened).toEqual([]);
  await eventually(async () => {
    const files = await readdir(join(node.state, 'rounds'));
    return files.every((name) => !name.endsWith('.sealed'));
  });
  expect(node.guard.rounds.client(task.taskId)).toBe(undefined);
};

describe('a server that lies in a round', () => {
  it.each(attacks)('%s: at the stage %s, %s', async (_name, at, reason, tamper) => {
    server.tamper = tamper;
    await takeOffer(node.guard, task);
    await node.answer(task, trained, [loss], 10);
    expect(await over()).toBe(reason);
    expect(await lines('round-refused')).toMatchObject([{ task: task.taskId, run: '7', stage: at, reason }]);
    // After the vector the answer stands, and no second one is given.
    const told = STAGES.indexOf(at) <= STAGES.indexOf('mask');
    expect(server.failed.map((failed) => failed.reason)).toEqual(
      told ? [`The data owner's guard refuses: ${reason} at the stage ${at} (masking).`] : [],
    );
    await nothingLeft(at);
  });

  it.each<[string, Partial<MaskedServer>, string]>([
    ['two sets of survivors', { othersConfirm: ['1', '2', '3', me] }, 'SURVIVORS_DIFFER'],
    ['two models', { peersModel: 'ab'.repeat(32) }, 'MODEL_DIFFERS'],
  ])('tells %s: the others signed otherwise, and nothing is opened', async (_name, lie, reason) => {
    Object.assign(server, lie);
    await takeOffer(node.guard, task);
    await node.answer(task, trained, [loss], 10);
    expect(await over()).toBe(reason);
    await nothingLeft('unmask');
  });

  it('gives another model than it names: the guard hashes what it got', async () => {
    server.given = (await realModel({ w: [1, 2, 4], b: [0.5] })).bytes;
    await takeOffer(node.guard, task);
    const { signal } = new AbortController();
    const pulled = pullTask(node.guard, signal, (offered) => readyModel(node.guard, offered));
    expect(await over()).toContain('MODEL_DIFFERS');
    expect(server.failed).toMatchObject([{ reason: expect.stringContaining('MODEL_DIFFERS') }]);
    expect(server.submitted).toEqual([]);
    node.stop();
    node.guard.held.wake();
    expect(await pulled).toBe(null);
  });

  it('gives another model to train on, and the one that it names when the vector is due', async () => {
    server.given = (await realModel({ w: [1, 2, 4], b: [0.5] })).bytes;
    await takeOffer(node.guard, task);
    await expect(readyModel(node.guard, task)).rejects.toThrow('MODEL_DIFFERS');
    await expect(readModel(node.guard, task.model ?? never(), 0, 8)).rejects.toThrow('ENOENT');
  });

  it('holds rounds back until more answers would leave on one day than the owner allows', async () => {
    node.end();
    await node.begin(server, own, { perDay: { answers: 1, bytes: 1e9 } });
    const held = Promise.withResolvers<void>();
    server.before = (stage) => (stage === 'share' ? held.promise : undefined);
    const second = maskedTask(model, { taskId: '02TASK' }, { round: 133n });
    server.open(second);
    for (const each of [task, second]) {
      await takeOffer(node.guard, each);
      await node.answer(each, trained, [loss], 10);
    }
    held.resolve();
    await eventually(() => server.failed.length === 1);
    expect(server.failed[0]?.reason).toContain('limits.answers-per-day');
    await eventually(() => server.submitted.length === 1);
  });

  it.each<[Stage, Stage]>([
    ['share', 'unmask'],
    ['mask', 'share'],
    ['confirm', 'unmask'],
    ['unmask', 'confirm'],
  ])('asks, when %s is due, for %s', async (due, instead) => {
    server.asksInstead = { [due]: instead };
    await takeOffer(node.guard, task);
    await node.answer(task, trained, [loss], 10);
    expect(await over()).toBe('OUT_OF_ORDER');
    await nothingLeft(due);
  });
});
