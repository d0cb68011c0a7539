// The bridge: errors, panics, buffers and promises cross as the typed face promises. What is computed is tested in Rust.

import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { binding } from './binding.ts';
import { awaiting, calling } from './core-error.ts';
import {
  CoreError,
  type CoreErrorCode,
  type DataKey,
  Fold,
  IntakeLog,
  KeyFile,
  ModelFile,
  openFile,
  readNpyHeader,
  sealFile,
  sha256Hex,
  sha256HexSync,
  type TensorSource,
  verifyEcdsa,
  verifyEcdsaSync,
} from './index.ts';

let directory: string;
let keyFile: KeyFile;
let key: DataKey;
const path = (name: string) => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aegis-core-'));
  keyFile = KeyFile.open(path('key'), { create: true });
  key = keyFile.generate('test').key;
});
afterEach(() => {
  rmSync(directory, { recursive: true });
  delete process.env.AEGIS_CORE_TEST_HOOKS;
});

async function failure(work: () => unknown): Promise<CoreError> {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(CoreError);
    return error as CoreError;
  }
  throw new Error('it should have failed');
}
const code = async (work: () => unknown): Promise<CoreErrorCode> => (await failure(work)).code;

/** An npy file as numpy writes it (version 1.0), for one-dimensional little-endian arrays. */
function npy(values: Float32Array | Float64Array): Buffer {
  const descr = values instanceof Float32Array ? '<f4' : '<f8';
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${values.length},), }`;
  const header = text.padEnd(Math.ceil((text.length + 32) / 64) * 64 + 64 - 11).concat('\n');
  const prefix = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length & 255, header.length >> 8]);
  return Buffer.concat([prefix, Buffer.from(header), Buffer.from(values.buffer, values.byteOffset, values.byteLength)]);
}

async function stored(log: IntakeLog, part: string, tensors: Record<string, Buffer>): Promise<TensorSource[]> {
  await log.append('update', part, Object.values(tensors));
  let offset = 0;
  return Object.entries(tensors).map(([name, bytes]) => {
    const slice = { part, offset, length: bytes.length };
    offset += bytes.length;
    return { name, slices: [slice] };
  });
}

describe('errors', () => {
  beforeEach(() => {
    process.env.AEGIS_CORE_TEST_HOOKS = '1';
  });

  it('brings every code of the core across, with its details, from both sides of the loop', async () => {
    const codes = binding.testAllCodes();
    expect(codes.length).toBe(43);
    for (const expected of codes) {
      for (const fail of [
        () => calling(() => binding.testFailOnLoop(expected)),
        () => awaiting(() => binding.testFailOffLoop(expected)),
      ]) {
        const error = await failure(fail);
        expect(error.code).toBe(expected);
        expect(error.detail).toEqual({ tensor: 'layer "1"\n', got: '(4,)' });
        expect(error.message).toBe(`${expected}: as asked`);
      }
    }
  });

  it('turns a panic into PANIC and lives on', async () => {
    for (const panic of [
      () => calling(() => binding.testPanicOnLoop()),
      () => calling(() => binding.testPanicUnguarded()),
      () => awaiting(() => binding.testPanicOffLoop()),
    ]) {
      expect(await code(panic)).toBe('PANIC');
    }
    expect((await failure(() => awaiting(() => binding.testPanicOffLoop()))).detail).toEqual({ panic: 'off the loop' });
    expect(sha256HexSync([])).toHaveLength(64);
  });

  it('keeps its test hooks shut without the environment variable', async () => {
    delete process.env.AEGIS_CORE_TEST_HOOKS;
    expect(await code(() => calling(() => binding.testPanicOnLoop()))).toBe('ARGUMENT');
    binding.testPanicUnguarded();
  });

  it('names a wrong argument ARGUMENT, whatever is wrong with it', async () => {
    const wrong = (value: unknown) => value as never;
    const log = await IntakeLog.open(path('log'), key);
    for (const call of [
      () => sha256HexSync(wrong('text')),
      () => sha256Hex(wrong([1])),
      () => log.append(wrong(1), 'id', []),
      () => log.append('', 'id', []),
      () => log.append('kind', 'id', [], 'no hash'),
      () => log.read('id', -1),
      () => log.read('id', 0.5),
      () => log.read('id', Number.NaN),
      () => IntakeLog.open(path('other'), wrong({})),
      () => IntakeLog.open(path('other'), key, { segmentBytes: 1 }),
      () => Fold.create(wrong([{ name: 'w' }])),
      () => Fold.create([{ name: 'w', dtype: '<f4', shape: [-1] }]),
      () => Fold.create([]).check(wrong({}), []),
      () => openFile(wrong(undefined), key, 'context'),
    ]) {
      expect(await code(call), String(call)).toBe('ARGUMENT');
    }
    await log.close();
  });
});

describe('hashes and signatures', () => {
  it('hashes pieces like one buffer, Buffer or not', async () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    const pieces = [Buffer.from('a'), new Uint8Array(0), new Uint8Array([0, 98, 99]).subarray(1)];
    expect(sha256HexSync(pieces)).toBe(expected);
    expect(await sha256Hex(pieces)).toBe(expected);
  });

  it.each(['prime256v1', 'secp384r1', 'secp521r1'])(
    'verifies %s signatures of another implementation',
    async (curve) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
      const pem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
      const message = Buffer.from('2026-11-21T20:30:41.932108+00:00');
      const signature = createSign('sha256').update(message).sign(privateKey);
      expect(verifyEcdsaSync(pem, message, signature)).toBe(true);
      expect(await verifyEcdsa(pem, message, signature)).toBe(true);
      expect(await verifyEcdsa(pem, Buffer.from('other'), signature)).toBe(false);
      const sha384 = createSign('sha384').update(message).sign(privateKey);
      expect(verifyEcdsaSync(pem, message, sha384)).toBe(false);
    },
  );

  it('tells an unusable key from a wrong signature', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const pem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
    expect(await code(() => verifyEcdsa(pem, pem, pem))).toBe('SIGNATURE_KEY');
    expect(await code(() => verifyEcdsaSync(Buffer.from('hello'), pem, pem))).toBe('SIGNATURE_KEY');
  });
});

describe('keys and sealing', () => {
  it('opens what an unwrapped key sealed, under the same context only', async () => {
    const { key: original, wrapped } = keyFile.generate('run 1');
    const bytes = randomBytes(3 << 20);
    await sealFile(path('object'), bytes, original, 'object 1');
    const again = KeyFile.open(path('key'), { create: false }).unwrap(wrapped, 'run 1');
    expect((await openFile(path('object'), again, 'object 1')).equals(bytes)).toBe(true);
    expect(await code(() => openFile(path('object'), again, 'object 2'))).toBe('SEAL_BROKEN');
    expect(await code(() => keyFile.unwrap(wrapped, 'run 2'))).toBe('SEAL_BROKEN');
    expect(await code(() => openFile(path('missing'), again, ''))).toBe('IO');
  });

  it('refuses a key file that others can read', async () => {
    expect(statSync(path('key')).mode & 0o777).toBe(0o600);
    chmodSync(path('key'), 0o640);
    const error = await failure(() => KeyFile.open(path('key'), { create: true }));
    expect(error.code).toBe('KEY_FILE');
    expect(error.detail).toMatchObject({ path: path('key'), mode: '0640' });
  });
});

describe('the intake log', () => {
  it('keeps records across reopening, deduplicates and reads ranges', async () => {
    const log = await IntakeLog.open(path('log'), key);
    const large = randomBytes(2 << 20);
    expect(await log.append('part', 'a', [Buffer.from('al'), Buffer.from('pha')])).toEqual({ deduplicated: false });
    expect(await log.append('part', 'a', [])).toEqual({ deduplicated: true });
    await log.append('note', 'b', [large], sha256HexSync([large]));
    expect(await code(() => log.append('part', 'c', [large], '0'.repeat(64)))).toBe('HASH_MISMATCH');
    expect(await code(() => IntakeLog.open(path('log'), key))).toBe('LOG_LOCKED');
    await log.close();
    expect(await code(() => log.append('part', 'd', []))).toBe('LOG_CLOSED');

    const again = await IntakeLog.open(path('log'), key);
    expect(again.tornBytes).toBe(0);
    expect(again.entries('part')).toEqual([{ id: 'a', kind: 'part', length: 5 }]);
    expect(again.entries().map(({ id }) => id)).toEqual(['a', 'b']);
    expect([again.has('a'), again.has('c')]).toEqual([true, false]);
    expect((await again.read('a', 2)).toString()).toBe('pha');
    expect((await again.read('b', 1_000_000, 100_000)).equals(large.subarray(1_000_000, 1_100_000))).toBe(true);
    expect(await code(() => again.read('c'))).toBe('PART_UNKNOWN');
    expect((await again.read('a', 0, 6)).toString()).toBe('alpha');
    expect(await code(() => again.read('a', 6))).toBe('SLICE_OUT_OF_RANGE');
    await again.close();
  });

  it('finishes what was appended before it closes', async () => {
    const log = await IntakeLog.open(path('log'), key);
    const appends = Array.from({ length: 50 }, (_, i) => log.append('part', String(i), [randomBytes(1000)]));
    await log.close();
    expect((await Promise.all(appends)).every(({ deduplicated }) => !deduplicated)).toBe(true);
  });

  it('cuts off a torn tail and names the place of corruption', async () => {
    const log = await IntakeLog.open(path('log'), key);
    await log.append('part', 'a', [Buffer.from('alpha')]);
    await log.close();
    const segment = join(path('log'), 'epoch-0', 'segment-00000000.log');
    const whole = readFileSync(segment);
    writeFileSync(segment, Buffer.concat([whole, Buffer.from('half a record')]));
    const torn = await IntakeLog.open(path('log'), key);
    expect([torn.tornBytes, torn.has('a')]).toEqual([13, true]);
    await torn.close();
    const at = whole.length - 30;
    whole.writeUInt8(whole.readUInt8(at) ^ 1, at);
    writeFileSync(segment, whole);
    const error = await failure(() => IntakeLog.open(path('log'), key));
    expect(error.code).toBe('LOG_CORRUPT');
    expect(error.detail).toMatchObject({ file: 'segment-00000000.log', offset: '100' });
  });

  it('leaves the event loop free while it works', async () => {
    const log = await IntakeLog.open(path('log'), key);
    const bytes = randomBytes(64 << 20);
    let turns = 0;
    const turn = () => {
      turns += 1;
      turning = setImmediate(turn);
    };
    let turning = setImmediate(turn);
    // Each of them hashes 64 MiB: the loop turns many times meanwhile, and would not once if they were made on it.
    const queued = log.append('part', 'a', [bytes], sha256HexSync([Buffer.alloc(0)])).catch(() => undefined);
    await Promise.all([queued, sha256Hex([bytes]), log.append('part', 'b', [bytes])]);
    clearImmediate(turning);
    expect(turns).toBeGreaterThan(100);
    await log.close();
  });
});

describe('fold and models', () => {
  it('gives the same model whatever the order of the updates', async () => {
    const log = await IntakeLog.open(path('log'), key);
    const updates: { sources: TensorSource[]; weight: number }[] = [];
    for (let i = 0; i < 7; i++) {
      const values = Float32Array.from({ length: 3000 }, (_, j) => Math.sin(i * 3000 + j) * 10 ** ((j % 60) - 30));
      const bias = Float64Array.from([i, 1 / (i + 1)]);
      updates.push({ sources: await stored(log, `u${i}`, { w: npy(values), b: npy(bias) }), weight: 2 * i + 1 });
    }
    const specs = [
      { name: 'b', dtype: '<f8', shape: [2] },
      { name: 'w', dtype: '<f4', shape: [3000] },
    ];
    const identity = async (order: typeof updates, name: string) => {
      const fold = Fold.create(specs);
      await Promise.all(order.map(({ sources, weight }) => fold.add(log, sources, weight)));
      expect([fold.count, fold.totalWeight]).toEqual([7, 49]);
      return (await fold.writeModel(path(name), key)).sha256;
    };
    const expected = await identity(updates, 'one');
    expect(await identity(updates.toReversed(), 'two')).toBe(expected);
    expect(await identity([...updates.slice(3), ...updates.slice(0, 3)], 'three')).toBe(expected);
    await log.close();
  });

  it('checks an update and says what is wrong with it', async () => {
    const log = await IntakeLog.open(path('log'), key);
    const fold = Fold.create([{ name: 'w', dtype: '<f4', shape: [2] }]);
    const good = await stored(log, 'good', { w: npy(Float32Array.of(3, 4)) });
    expect(await fold.check(log, good, { maxNorm: 5 })).toEqual({ norm: 5, elements: 2 });
    expect(await code(() => fold.check(log, good, { maxNorm: 4 }))).toBe('NORM_EXCEEDED');
    const long = await stored(log, 'long', { w: npy(Float32Array.of(1, 2, 3)) });
    const error = await failure(() => fold.check(log, long));
    expect(error.code).toBe('TENSOR_SHAPE');
    expect(error.detail).toEqual({ tensor: 'w', expected: '(2,)', got: '(3,)' });
    const bad = await stored(log, 'nan', { w: npy(Float32Array.of(1, Number.NaN)) });
    expect(await code(() => fold.add(log, bad, 1))).toBe('VALUE_NOT_FINITE');
    expect(await code(() => fold.add(log, good, 0))).toBe('WEIGHT_INVALID');
    expect(await code(() => fold.writeModel(path('model'), key))).toBe('NOTHING_FOLDED');
    expect(fold.count).toBe(0);
    fold.close();
    expect(await code(() => fold.add(log, good, 1))).toBe('ARGUMENT');
    await log.close();
  });

  it('reads, exports and reimports a model', async () => {
    const w = npy(Float32Array.of(1, 2, 3));
    const info = await ModelFile.fromTensors([{ name: 'w', npy: w }], path('model'), key);
    const model = await ModelFile.open(path('model'), key);
    expect(model.info).toEqual(info);
    const [tensor] = model.info.tensors;
    expect(tensor).toMatchObject({ name: 'w', dtype: '<f4', shape: [3], offset: 0, length: info.bytes });
    const file = await model.read(0, info.bytes);
    expect(readNpyHeader(file)).toEqual({ dtype: '<f4', shape: [3], fortranOrder: false, dataOffset: 128 });
    expect(new Float32Array(new Uint8Array(file.subarray(128)).buffer)).toEqual(Float32Array.of(1, 2, 3));
    await model.exportNpz(path('npz'));
    await model.exportSafetensors(path('safetensors'));
    expect(await ModelFile.fromNpz(readFileSync(path('npz')), path('m2'), key)).toEqual(info);
    expect(await ModelFile.fromSafetensors(readFileSync(path('safetensors')), path('m3'), key)).toEqual(info);
    const tight = { maxBytes: 20 };
    expect(await code(() => ModelFile.fromNpz(readFileSync(path('npz')), path('m6'), key, tight))).toBe(
      'TENSOR_TOO_LARGE',
    );
    expect(await code(() => ModelFile.fromSafetensors(readFileSync(path('safetensors')), path('m6'), key, tight))).toBe(
      'TENSOR_TOO_LARGE',
    );
    expect(existsSync(path('m6'))).toBe(false);
    const log = await IntakeLog.open(path('log'), key);
    expect(await ModelFile.fromLog(log, await stored(log, 'u', { w }), path('m4'), key)).toEqual(info);
    await log.close();
    model.close();
    expect(await code(() => model.read(0, 1))).toBe('ARGUMENT');
    expect(await code(() => ModelFile.open(path('key'), key))).toBe('SEAL_BROKEN');
    expect(await code(() => ModelFile.fromNpz(w, path('m5'), key))).toBe('NPZ_MALFORMED');
    expect(await code(() => readNpyHeader(w.subarray(0, 50)))).toBe('NPY_MALFORMED');
  });
});
