// The bridge of secure aggregation: messages, buffers, refusals and whole rounds cross as the typed face promises.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { binding } from './binding.ts';
import { CoreError, IntakeLog, KeyFile, ModelFile, npyElements } from './index.ts';
import {
  type CertifiedAdvert,
  chooseParameters,
  type Floors,
  Grid,
  type GridOptions,
  MaskedSum,
  MaskRemoval,
  type PlanEntry,
  planDigest,
  REFUSALS,
  type Refusal,
  refusalOf,
  SecaggClient,
  type ShareDelivery,
  SigningKey,
  type Terms,
  termsDigest,
} from './secagg.ts';

const NOW = 1_000;
const MODEL = 'ab'.repeat(32);
const FLOORS: Floors = { cohort: 3, survivors: 3, colluders: 0 };
const GRID = Grid.create([{ name: 'w', dtype: '<f4', shape: [3] }], {
  clip: 4,
  metrics: [{ name: 'loss', low: 0, high: 10 }],
  valueBits: 20,
  weightMax: 10,
});

const terms = (): Terms => ({
  run: '18446744073709551615',
  round: '3',
  plan: '01'.repeat(32),
  degree: 3,
  threshold: 3,
  minSurvivors: 3,
  bits: GRID.modulus(4).bits,
  length: String(GRID.length),
});

const f32 = (...values: number[]): Uint8Array => new Uint8Array(new Float32Array(values).buffer);

function newKey(curve: 'ed25519' | 'p256'): SigningKey {
  const { privateKey } =
    curve === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return SigningKey.fromPkcs8(privateKey.export({ type: 'pkcs8', format: 'der' }));
}

/** Four nodes that have shared their keys; one signs with P-256. */
async function sharedCohort() {
  const nodes = ['1', '2', '3', '9223372036854775809'].map((node, index) => {
    const key = newKey(index === 0 ? 'p256' : 'ed25519');
    return { node, key, client: SecaggClient.advertise(node, terms(), FLOORS, key, 2 * NOW) };
  });
  const adverts: CertifiedAdvert[] = nodes.map(({ node, key, client }) => {
    if (!client.advert) throw new Error('a fresh client has an advert');
    return { advert: client.advert, subject: `CN=${node}`, signingKey: key.publicPem };
  });
  const digest = termsDigest(terms());
  const answers = await Promise.all(nodes.map(({ client }) => client.shareKeys({ terms: digest, adverts }, NOW)));
  const deliveryFor = (node: string): ShareDelivery => {
    const shares = answers.flatMap((answer) =>
      answer.shares.filter(({ peer }) => peer === node).map(({ sealed }) => ({ peer: answer.node, sealed })),
    );
    return { terms: digest, model: MODEL, shares };
  };
  return { nodes, adverts, digest, deliveryFor };
}

async function refusal(work: () => unknown): Promise<Refusal | undefined> {
  try {
    await work();
  } catch (error) {
    return refusalOf(error);
  }
  throw new Error('it should have been refused');
}

async function code(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return (error as CoreError).code;
  }
  throw new Error('it should have failed');
}

describe('a round', () => {
  it('opens the weighted mean of those who delivered, with one dropped out after sharing', async () => {
    const { nodes, adverts, digest, deliveryFor } = await sharedCohort();
    const delivering = nodes.slice(0, 3);
    const sum = MaskedSum.create(terms());
    for (const [index, { node, client }] of delivering.entries()) {
      const update = { tensors: [f32(index, -1, 4)], metrics: [index], weight: index + 1 };
      const packed = await client.maskInput(deliveryFor(node), GRID, update, 2);
      expect(packed).toHaveLength(Math.ceil((GRID.length * terms().bits) / 8));
      await sum.add(packed);
    }
    const survivors = delivering.map(({ node }) => node);
    const dropped = nodes.slice(3).map(({ node }) => node);
    const confirmations = await Promise.all(
      delivering.map(({ client, key }) => client.confirmSurvivors({ terms: digest, survivors }, key)),
    );
    const removal = MaskRemoval.create(terms(), adverts, NOW, MODEL, survivors, dropped);
    for (const { client } of delivering) {
      expect(removal.isPossible).toBe(false);
      removal.take(await client.unmask({ terms: digest, survivors, dropped, confirmations }));
    }
    expect(removal.isPossible).toBe(true);
    expect(sum.count).toBe(3);
    const opened = await sum.open(GRID, 3, await removal.totalMask(2));
    expect([opened.survivors, opened.weight]).toEqual([3, 6]);
    // (1·0 + 2·1 + 3·2) / 6
    expect(opened.metric(0)).toBeCloseTo(8 / 6, 4);
    const tensor = opened.tensor(0);
    const values = [0, 4, 8].map((at) => tensor.readFloatLE(at));
    for (const [at, expected] of [8 / 6, -1, 4].entries()) expect(values[at]).toBeCloseTo(expected, 4);
    expect(await code(() => sum.open(GRID, 3, Buffer.alloc(0)))).toBe('ARGUMENT');
    expect(await code(() => sum.count)).toBe('ARGUMENT');
    expect(await code(() => opened.tensor(1))).toBe('ARGUMENT');
  });

  it('adds vectors from an intake log', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'aegis-secagg-'));
    try {
      const { key } = KeyFile.open(join(directory, 'key'), { create: true }).generate('test');
      const log = await IntakeLog.open(join(directory, 'log'), key);
      const packed = Buffer.alloc(Math.ceil((GRID.length * terms().bits) / 8));
      await log.append('part', 'whole', [packed]);
      await log.append('part', 'short', [packed.subarray(1)]);
      const sum = MaskedSum.create(terms());
      const slice = (part: string, offset: number, length: number) => ({ part, offset, length });
      await sum.checkSlices(log, [slice('whole', 0, packed.length)]);
      await sum.addSlices(log, [slice('whole', 0, 1), slice('short', 0, packed.length - 1)]);
      for (const [slices, expected] of [
        [[slice('short', 0, packed.length - 1)], 'SECAGG_MALFORMED'],
        [[slice('none', 0, packed.length)], 'PART_UNKNOWN'],
        [[slice('whole', 1, packed.length)], 'SLICE_OUT_OF_RANGE'],
        [[slice('whole', 0.5, packed.length)], 'ARGUMENT'],
      ] as const) {
        expect(await code(() => sum.checkSlices(log, [...slices]))).toBe(expected);
        expect(await code(() => sum.addSlices(log, [...slices]))).toBe(expected);
      }
      expect(sum.count).toBe(1);
      expect(await code(() => sum.open(GRID, 1, packed))).toBe('SECAGG_SUM');
      const other = MaskedSum.create(terms());
      expect(await code(() => other.open(GRID, 0, packed.subarray(1)))).toBe('SECAGG_MALFORMED');
      other.close();
      expect(await code(() => other.add(packed))).toBe('ARGUMENT');
      await log.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('moves the start model by the mean difference', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'aegis-secagg-'));
    try {
      const { key } = KeyFile.open(join(directory, 'key'), { create: true }).generate('test');
      const { nodes, adverts, digest, deliveryFor } = await sharedCohort();
      const start = f32(100, -50, 0);
      const dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }".padEnd(117);
      const npy = Buffer.concat([Buffer.from(`\x93NUMPY\x01\0v\0${dictionary}\n`, 'latin1'), start]);
      const path = join(directory, 'start');
      await ModelFile.fromTensors([{ name: 'w', npy }], path, key);
      const model = await ModelFile.open(path, key);
      const sum = MaskedSum.create(terms());
      for (const [index, { node, client }] of nodes.entries()) {
        const update = { tensors: [f32(101, -50 - index, 0.5)], start: [start], metrics: [1] };
        await sum.add(await client.maskInput(deliveryFor(node), GRID, update));
      }
      const survivors = nodes.map(({ node }) => node);
      const confirmations = await Promise.all(
        nodes.map(({ client, key }) => client.confirmSurvivors({ terms: digest, survivors }, key)),
      );
      const removal = MaskRemoval.create(terms(), adverts, NOW, MODEL, survivors, []);
      for (const { client } of nodes)
        removal.take(await client.unmask({ terms: digest, survivors, dropped: [], confirmations }));
      const opened = await sum.open(GRID, 4, await removal.totalMask());
      const next = join(directory, 'next');
      await opened.writeModel(model, next, key);
      const written = await ModelFile.open(next, key);
      const [tensor] = written.info.tensors;
      const bytes = await written.read(tensor?.offset ?? 0, tensor?.length ?? 0);
      const elements = Buffer.from(await npyElements(bytes, { name: 'w', dtype: '<f4', shape: [3] }));
      const values = [0, 4, 8].map((at) => elements.readFloatLE(at));
      for (const [at, expected] of [101, -51.5, 0.5].entries()) expect(values[at]).toBeCloseTo(expected, 4);
      opened.close();
      expect(await code(() => opened.weight)).toBe('ARGUMENT');
      for (const file of [model, written]) file.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is that of the vectors, which no code of ours wrote', async () => {
    const path = new URL('../../tests/vectors/secagg/round.json', import.meta.url);
    const { cases } = JSON.parse(readFileSync(path, 'utf8'));
    const grid = Grid.create([{ name: 'w', dtype: '<f8', shape: [15] }], { clip: 32767, valueBits: 16, weightMax: 1 });
    for (const played of cases) {
      expect(termsDigest(played.terms)).toBe(played.terms_digest);
      const { survivors, dropped } = played;
      const removal = MaskRemoval.create(played.terms, played.adverts, NOW, played.model, survivors, dropped);
      for (const opened of played.opened) removal.take(opened);
      const total = await removal.totalMask();
      expect(total.toString('hex')).toBe(played.total_mask);
      const sum = MaskedSum.create(played.terms);
      for (const masked of played.masked) await sum.add(Buffer.from(masked, 'hex'));
      const opened = await sum.open(grid, survivors.length, total);
      const tensor = opened.tensor(0);
      const sums = Array.from({ length: 15 }, (_, at) => Math.round(tensor.readDoubleLE(at * 8) * opened.weight));
      expect(sums).toEqual(played.sum.slice(5));
    }
  });
});

describe('a node', () => {
  it('refuses by name, and a refusal that ends the round ends it', async () => {
    const { nodes, deliveryFor, digest } = await sharedCohort();
    const [first] = nodes;
    if (!first) throw new Error('there are four nodes');
    const update = { tensors: [f32(1, 2, 3)], metrics: [0] };
    expect(
      await refusal(() => first.client.unmask({ terms: digest, survivors: [], dropped: [], confirmations: [] })),
    ).toBe('OUT_OF_ORDER');
    const other = { ...deliveryFor(first.node), terms: '00'.repeat(32) };
    expect(await refusal(() => first.client.maskInput(other, GRID, update))).toBe('OTHER_ROUND');
    expect([first.client.stage, first.client.ended]).toEqual([1, undefined]);
    const delivery = deliveryFor(first.node);
    const shares = [...delivery.shares, ...delivery.shares.slice(0, 1)];
    expect(await refusal(() => first.client.maskInput({ ...delivery, shares }, GRID, update))).toBe('SHARE_TWICE');
    expect([first.client.stage, first.client.ended]).toEqual([undefined, 'SHARE_TWICE']);
    expect(await refusal(() => first.client.maskInput(delivery, GRID, update))).toBe('ENDED');
  });

  it('comes back from its journal, or says that its state is lost', async () => {
    const { nodes, deliveryFor } = await sharedCohort();
    const [, second] = nodes;
    if (!second) throw new Error('there are four nodes');
    const restored = SecaggClient.restore(second.client.save());
    expect(restored.stage).toBe(1);
    const update = { tensors: [f32(1, 2, 3)], metrics: [0] };
    await restored.maskInput(deliveryFor('2'), GRID, update);
    expect(await refusal(() => restored.maskInput(deliveryFor('2'), GRID, update))).toBe('ANSWERED_BEFORE');
    expect(await refusal(() => SecaggClient.restore(second.client.save().subarray(1)))).toBe('STATE_LOST');
    const lost = SecaggClient.lost('2', terms(), FLOORS);
    expect([lost.ended, lost.advert, lost.stage]).toEqual(['STATE_LOST', undefined, undefined]);
    second.client.abort();
    expect(second.client.ended).toBe('ENDED');
  });

  it('takes nothing that is not what it is called', async () => {
    const { nodes, deliveryFor, digest } = await sharedCohort();
    const client = nodes[0]?.client as SecaggClient;
    const wrong = (value: unknown) => value as never;
    const delivery = deliveryFor('1');
    for (const [work, expected] of [
      [() => client.shareKeys(wrong({ terms: digest }), NOW), 'SECAGG_MALFORMED'],
      [() => client.maskInput({ ...delivery, model: 'xyz' }, GRID, { tensors: [] }), 'SECAGG_MALFORMED'],
      [() => client.maskInput(delivery, GRID, { tensors: [] }), 'TENSOR_MISSING'],
      [() => client.maskInput(delivery, GRID, { tensors: [f32(1)], metrics: [0] }), 'NPY_SIZE_MISMATCH'],
      [() => client.maskInput(delivery, GRID, { tensors: [f32(1, Number.NaN, 3)], metrics: [0] }), 'VALUE_NOT_FINITE'],
      [() => client.maskInput(delivery, GRID, { tensors: [f32(1, 2, 3)], metrics: [0], weight: 11 }), 'WEIGHT_INVALID'],
      [() => client.maskInput(delivery, wrong({}), { tensors: [] }), 'ARGUMENT'],
      [() => SecaggClient.advertise('x', terms(), FLOORS, newKey('ed25519'), NOW), 'ARGUMENT'],
      [() => SecaggClient.advertise('1', wrong({}), FLOORS, newKey('ed25519'), NOW), 'SECAGG_MALFORMED'],
      [() => SigningKey.fromPkcs8(Buffer.from('no key')), 'SIGNATURE_KEY'],
      [() => MaskedSum.create({ ...terms(), bits: 63 }), 'ARGUMENT'],
      [() => MaskRemoval.create(terms(), [], NOW, MODEL, [], []), 'SECAGG_REFUSED'],
    ] as const) {
      expect(await code(work), String(work)).toBe(expected);
    }
    expect(client.ended).toBe(undefined);
  });

  it('knows every refusal of the core', () => {
    expect([...REFUSALS]).toEqual(binding.secaggRefusals());
    expect(refusalOf(new CoreError('ARGUMENT', 'no'))).toBe(undefined);
    expect(refusalOf(new Error('no'))).toBe(undefined);
  });
});

describe('parameters', () => {
  it('come with their arithmetic', async () => {
    const chosen = await chooseParameters(5, { dropouts: 0.2, colluders: 0 });
    expect(chosen).toMatchObject({ degree: 4, threshold: 3, min_survivors: 4, risks: { total: null } });
    const sparse = await chooseParameters(1000, { dropouts: 0.2, colluders: 0.1 });
    expect(sparse.degree).toBeLessThan(400);
    expect(sparse.risks.total).toBeLessThanOrEqual(-40);
    const complete = await chooseParameters(1000, { dropouts: 0.2, colluders: 0.1 }, { complete: true });
    expect(complete.degree).toBe(999);
    expect(GRID.modulus(4)).toMatchObject({ cohort: 4, weight_max: 10, half_range: 524287, bits: 26 });
    expect(GRID.weightOf(50, 100)).toBe(5);
  });

  it('that cannot be reached are refused with it', async () => {
    const work = () => chooseParameters(10, { dropouts: 0.5, colluders: 0.2 });
    await expect(work()).rejects.toMatchObject({
      code: 'SECAGG_PARAMETERS',
      detail: { arithmetic: '2·7 > 10 + 2 but only 5 shareholders remain' },
    });
    expect(await code(() => GRID.modulus(Number.MAX_SAFE_INTEGER))).toBe('SECAGG_PARAMETERS');
    expect(
      await code(() => Grid.create([{ name: 'n', dtype: '<i8', shape: [] }], { clip: 1, valueBits: 16, weightMax: 1 })),
    ).toBe('SECAGG_PARAMETERS');
    expect(await code(() => GRID.weightOf(101, 100))).toBe('WEIGHT_INVALID');
  });
});

describe('a plan', () => {
  /** As the vectors write a value, to what an app is told. */
  const told = (kind: string, value: unknown): PlanEntry['value']['value'] => {
    if (Array.isArray(value)) return value.map((one) => told(kind.slice(0, -1), one)) as never;
    if (kind === 'real') return Buffer.from(String(value), 'hex').readDoubleBE();
    if (kind === 'data') return Buffer.from(String(value), 'hex');
    return kind === 'integer' ? BigInt(String(value)) : (value as never);
  };
  const entryOf = ({ key, value }: { key: string; value: Record<string, unknown> }): PlanEntry => {
    const [[kind, content] = ['', null]] = Object.entries(value);
    return { key, value: { kind, value: told(kind, content) } };
  };
  const path = new URL('../../tests/vectors/secagg/plan.json', import.meta.url);
  const { cases } = JSON.parse(readFileSync(path, 'utf8'));
  const planOf = ({ run, round, config, overrides, ...plan }: (typeof cases)[number]['plan']) => ({
    ...plan,
    run: BigInt(run),
    round: BigInt(round),
    config: config.map(entryOf),
    overrides: overrides.map(entryOf),
  });

  it('is named as in the vectors, which no code of ours wrote', () => {
    for (const { plan, digest } of cases) expect(planDigest(planOf(plan))).toBe(digest);
  });

  it('that is none is refused', async () => {
    const plan = planOf(cases[0].plan);
    expect(await code(() => planDigest({ ...plan, cohort: -1 }))).toBe('SECAGG_MALFORMED');
    const list = { key: 'x', value: { kind: 'list', value: 'x' } };
    expect(await code(() => planDigest({ ...plan, config: [list] }))).toBe('SECAGG_MALFORMED');
  });
});

describe('noise', () => {
  const specs = [{ name: 'w', dtype: '<f4', shape: [500] }];
  const options: GridOptions = { clip: 1, valueBits: 16, weightMax: 1, normClip: 0.5 };

  it('is planned by shares that make what was asked for', async () => {
    const plain = Grid.create(specs, options);
    const noiseSigma = plain.noiseShare(1.5, 4);
    const noised = Grid.create(specs, { ...options, noiseSigma });
    const noise = noised.noise(4);
    expect(noise).toMatchObject({ parties: 4, local_sigma: noiseSigma, dimension: 500 });
    expect(noise.noise_multiplier).toBeGreaterThanOrEqual(1.5);
    expect(noise.noise_multiplier).toBeLessThan(1.501);
    expect(noise.l2).toBeGreaterThan(0.5 * 32_767);
    expect(noised.modulus(5).noise).toBeGreaterThan(5 * noiseSigma);
    expect(await code(() => plain.noise(4))).toBe('SECAGG_PARAMETERS');
    expect(await code(() => noised.noise(0))).toBe('SECAGG_PARAMETERS');
    expect(await code(() => plain.noiseShare(1e-9, 4))).toBe('SECAGG_PARAMETERS');
    expect(await code(() => Grid.create(specs, { ...options, noiseSigma, weightMax: 2 }))).toBe('SECAGG_PARAMETERS');
  });
});
