// Updates that are smaller on the way: sparse and quantised arrays of one file, which the aggregator is handed as whole tensors.
import { withNats } from '@aegis/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../../../testing/gateway-fixture.ts';
import { floatsOf } from '../../../testing/npy.ts';
import { hashOf, RestClient } from '../../../testing/rest-client.ts';
import { modelOf, ScriptedAggregator } from '../../../testing/scripted-aggregator.ts';
import { Submitting } from '../submitting.ts';

const MIB = 2 ** 20;
const nats = withNats();
const aggregator = new ScriptedAggregator();
let fixture: GatewayFixture;
let client: RestClient;
let nodeId: bigint;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
  const gateway = await fixture.gateway({ config: { rest: true } });
  client = new RestClient(gateway.target);
  nodeId = await client.register({ name: 'ada' });
  await client.call('GET', '/api/v1/tasks');
});
afterAll(() => fixture.close());

type Values = Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array | Float32Array | Float64Array;
const DTYPES = new Map<string, string>([
  ...([
    ['Int8Array', 'I8'],
    ['Uint8Array', 'U8'],
    ['Int16Array', 'I16'],
    ['Int32Array', 'I32'],
  ] as const),
  ...([
    ['BigInt64Array', 'I64'],
    ['Float32Array', 'F32'],
    ['Float64Array', 'F64'],
  ] as const),
]);
interface Array_ {
  readonly values: Values;
  readonly shape?: readonly number[];
}
const file = (arrays: Readonly<Record<string, Array_>>): Buffer => {
  let at = 0;
  const header = Object.fromEntries(
    Object.entries(arrays).map(([name, { values, shape = [values.length] }]) => {
      const data_offsets = [at, at + values.byteLength];
      at += values.byteLength;
      return [name, { dtype: DTYPES.get(values.constructor.name), shape, data_offsets }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  const data = Object.values(arrays).map(({ values: { buffer, byteOffset, byteLength } }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return Buffer.concat([length, json, ...data]);
};

/** Sends the file as one answer to a task of this model; what the gateway says at last. */
const send = async (model: Record<string, readonly number[] | Float32Array>, content: Buffer, encoded: unknown) => {
  aggregator.parts.clear();
  const { taskId } = await fixture.task(nodeId, {}, modelOf(model));
  const parts = Array.from({ length: Math.ceil(content.byteLength / MIB) }, (_, at) =>
    content.subarray(at * MIB, (at + 1) * MIB),
  );
  const slices = parts.map((part) => ({ sha256: hashOf(part), length: part.byteLength }));
  const path = `/api/v1/updates/${taskId}`;
  const body = { file: { format: 'safetensors', slices }, encoded, numExamples: 20 };
  const begun = await client.call('POST', path, { body });
  if (begun.status !== 200) return { taskId, answer: begun };
  for (const part of parts) await client.call('PUT', `${path}/parts/${hashOf(part)}`, { body: part });
  return { taskId, answer: await client.call('POST', path, { body }) };
};

const handedIn = (taskId: string): Record<string, number[]> => {
  const found = aggregator.submitted.filter(({ task }) => task?.taskId === taskId);
  expect(found).toHaveLength(1);
  return Object.fromEntries(
    (found[0]?.tensors ?? []).map(({ name, slices }) => {
      const pieces = slices.map(({ partId, offset, length }) =>
        (aggregator.parts.get(partId) as Buffer).subarray(Number(offset), Number(offset + length)),
      );
      expect(pieces.every(({ byteLength }) => byteLength <= MIB)).toBe(true);
      return [name, floatsOf(Buffer.concat(pieces))];
    }),
  );
};
const accepted = { status: 'accepted', missing: [] };
const float32 = (values: readonly number[]): number[] => [...Float32Array.from(values)];

describe('a tensor', () => {
  it('that is sparse is the task’s model with what its places say, over many blocks', async () => {
    const base = Float32Array.from({ length: 700_000 }, (_, at) => at % 977);
    const indices = [0, 5, 262_143, 262_144, 699_999];
    const values = Float32Array.from([0.5, -1, 2, 3, 0.25]);
    const content = file({
      'w.i': { values: BigInt64Array.from(indices.map(BigInt)) },
      'w.v': { values },
      b: { values: Float32Array.of(7) },
    });
    const encoded = [{ as: 'sparse', name: 'w', indices: 'w.i', values: 'w.v' }];
    const { taskId, answer } = await send({ w: base, b: [1] }, content, encoded);
    expect(answer.json()).toEqual(accepted);
    const expected = base.slice();
    for (const [at, index] of indices.entries()) expected[index] = (base[index] ?? 0) + (values[at] ?? 0);
    const { w = [], b } = handedIn(taskId);
    expect(b).toEqual([7]);
    expect(Buffer.from(Float32Array.from(w).buffer).equals(Buffer.from(expected.buffer))).toBe(true);
  });

  it('that is quantised becomes (q − zero point) · scale, per tensor or per index of its first axis, as it is or added', async () => {
    const values = Uint8Array.of(0, 127, 128, 255, 10, 20);
    const one = file({
      q: { values },
      s: { values: Float64Array.of(0.25), shape: [] },
      z: { values: Uint8Array.of(128), shape: [] },
    });
    const whole = { as: 'quantised', name: 'w', values: 'q', scale: 's', zeroPoint: 'z' };
    const model = { w: [1, 2, 3, 4, 5, 6] };
    const expected = [...values].map((q) => (q - 128) * 0.25);
    const first = await send(model, one, [{ ...whole, of: 'weights' }]);
    expect(first.answer.json()).toEqual(accepted);
    expect(handedIn(first.taskId).w).toEqual(expected);
    const second = await send(model, one, [{ ...whole, of: 'difference' }]);
    expect(handedIn(second.taskId).w).toEqual(float32(expected.map((value, at) => value + (model.w[at] ?? 0))));
    const channels = file({ q: { values: Int8Array.of(1, -2, 3) }, s: { values: Float32Array.of(0.1, 10, 100) } });
    const third = await send({ w: [1, 2, 3] }, channels, [
      { as: 'quantised', of: 'weights', name: 'w', values: 'q', scale: 's' },
    ]);
    expect(handedIn(third.taskId).w).toEqual(float32([Math.fround(0.1), -20, 300]));
  });

  it('is what the same arithmetic gives in one piece, whatever its numbers', async () => {
    const scales = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 });
    const cases = fc.record({
      q: fc.int8Array({ minLength: 1, maxLength: 300 }),
      scale: scales,
      zero: fc.integer({ min: -128, max: 127 }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ q, scale, zero }) => {
        const content = file({
          q: { values: q },
          s: { values: Float32Array.of(scale) },
          z: { values: Int8Array.of(zero) },
        });
        const base = Array.from(q, (_, at) => at / 7);
        const encoded = [{ as: 'quantised', of: 'difference', name: 'w', values: 'q', scale: 's', zeroPoint: 'z' }];
        const { taskId } = await send({ w: base }, content, encoded);
        expect(handedIn(taskId).w).toEqual(
          float32(Array.from(q, (value, at) => Math.fround(at / 7) + (value - zero) * Math.fround(scale))),
        );
      }),
      { numRuns: 20 },
    );
  });
});

describe('what cannot be decoded is refused in words', () => {
  const v = { values: Float32Array.of(1, 2) };
  const i = (...at: number[]) => ({ values: Int32Array.from(at) });
  const sparse = { as: 'sparse', name: 'w', indices: 'i', values: 'v' };
  const quantised = { as: 'quantised', of: 'weights', name: 'w', values: 'q', scale: 's' };
  const q = { values: Int8Array.of(1, 2, 3) };
  const s = { values: Float32Array.of(1) };
  it.each<[string, Record<string, Array_>, object, RegExp]>([
    ['indices that do not ascend', { i: i(1, 1), v }, sparse, /do not ascend: 1 follows 1/],
    ['an index below 0', { i: i(-1, 1), v }, sparse, /do not ascend: -1/],
    ['an index beyond the tensor', { i: i(1, 3), v }, sparse, /has 3 values, none with the index 3/],
    ['more indices than values', { i: i(0, 1, 2), v }, sparse, /two lists of the same length/],
    ['indices that are no integers', { i: v, v }, sparse, /not integers/],
    ['values that are no floats', { i: i(0, 1), v: i(0, 1) }, sparse, /not of float32 or float64/],
    ['an array that is not there', { v }, sparse, /no array "i"/],
    ['a tensor that the model has not', { i: i(0, 1), v }, { ...sparse, name: 'x' }, /no tensor "x"/],
    [
      'a tensor that is there twice',
      { i: i(0, 1), v, w: { values: Float32Array.of(1, 2, 3) } },
      sparse,
      /as it is, and encoded/,
    ],
    [
      'quantised values of another shape',
      { q: { values: Int8Array.of(1) }, s },
      quantised,
      /have the shape \(1\), the model has \(3\)/,
    ],
    [
      'quantised values that are floats',
      { q: { values: Float32Array.of(1, 2, 3) }, s },
      quantised,
      /not integers of up to 32 bits/,
    ],
    ['a scale that is an integer', { q, s: i(1) }, quantised, /not of float32 or float64/],
    ['two scales for three indices', { q, s: v }, quantised, /one value for all, or one for every index/],
    ['a zero point of another type', { q, s, z: i(1) }, { ...quantised, zeroPoint: 'z' }, /its values are of \|i1/],
  ])('%s', async (_name, arrays, encoding, words) => {
    const { taskId, answer } = await send({ w: [1, 2, 3] }, file(arrays), [encoding]);
    const { code, detail } = JSON.parse(answer.bytes.toString());
    expect([answer.status, code]).toEqual([400, 'REPLY_MALFORMED']);
    expect(detail).toMatch(words);
    expect(aggregator.failed.some((failed) => failed.taskId === taskId)).toBe(true);
  });

  it('before anything is sent, when the manifest is wrong', async () => {
    for (const encoded of [[], [{ ...sparse, as: 'zipped' }], [{ ...quantised, of: 'model' }], [sparse, sparse], 'w']) {
      const { answer } = await send({ w: [1, 2, 3] }, file({ i: i(0, 1), v }), encoded);
      expect([answer.status, answer.json().code]).toEqual([400, 'REQUEST_MALFORMED']);
    }
    const { taskId } = await fixture.task(nodeId, {}, modelOf({ w: [1, 2, 3] }));
    const body = { encoded: [sparse], numExamples: 1 };
    const answer = await client.call('POST', `/api/v1/updates/${taskId}`, { body });
    expect([answer.status, answer.json().code]).toEqual([400, 'REQUEST_MALFORMED']);
  });
});

describe('what it costs to write out', () => {
  it('is paid for one answer of a node to a task at a time', async () => {
    const submitting = new Submitting();
    const held: (() => void)[] = [];
    const judged = (of: string, answerId: string, isEncoded = true) =>
      submitting.run({ of, answerId, isEncoded }, async () => {
        await new Promise<void>((resolve) => void held.push(resolve));
        return { accepted: true };
      });
    const first = judged('1 a', 'x');
    expect(judged('1 a', 'x')).toBe(first);
    expect(() => judged('1 a', 'y')).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    const others = [judged('2 a', 'x'), judged('3 a', 'x'), judged('4 a', 'x')];
    expect(() => judged('5 a', 'x')).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    const whole = judged('5 a', 'x', false);
    for (const resolve of held) resolve();
    expect(await Promise.all([first, ...others, whole])).toHaveLength(5);
    const again = judged('1 a', 'y');
    held.at(-1)?.();
    expect(await again).toEqual({ accepted: true });
  });

  it('is never more than the tensors of the model', async () => {
    const arrays = { i: { values: Int32Array.of(0) }, v: { values: Float32Array.of(1) } };
    const encoded = ['w', 'x'].map((name) => ({ as: 'sparse', name, indices: 'i', values: 'v' }));
    const { answer } = await send({ w: [1, 2, 3] }, file(arrays), encoded);
    expect(JSON.parse(answer.bytes.toString()).detail).toBe('The model has 1 tensors, and 2 are encoded.');
  });

  it('is the same for a scale of each of very many indices, read a block at a time', async () => {
    const count = 2 ** 18 + 5;
    const q = Int8Array.from({ length: count }, (_, at) => (at % 255) - 127);
    const scale = Float32Array.from({ length: count }, (_, at) => (at % 31) / 7);
    const encoded = [{ as: 'quantised', of: 'weights', name: 'w', values: 'q', scale: 's' }];
    const { taskId } = await send(
      { w: new Float32Array(count) },
      file({ q: { values: q }, s: { values: scale } }),
      encoded,
    );
    const expected = Float32Array.from(q, (value, at) => 0 + value * (scale[at] ?? 0));
    expect(Buffer.from(Float32Array.from(handedIn(taskId).w ?? []).buffer).equals(Buffer.from(expected.buffer))).toBe(
      true,
    );
  });
});
