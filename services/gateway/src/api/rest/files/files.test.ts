// Whole files in and out: as Python's zipfile writes them under numpy.savez, and as the core reads and writes both formats.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KeyFile, ModelFile } from '@aegis/core-native';
import { temporaryFolder, withNats } from '@aegis/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFixture } from '../../../testing/gateway-fixture.ts';
import { npyOf } from '../../../testing/npy.ts';
import { hashOf, RestClient } from '../../../testing/rest-client.ts';
import { modelOf, ScriptedAggregator } from '../../../testing/scripted-aggregator.ts';

const MIB = 2 ** 20;
const nats = withNats();
const aggregator = new ScriptedAggregator();
let fixture: GatewayFixture;
let client: RestClient;
let nodeId: bigint;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  fixture = await GatewayFixture.open(nats(), aggregator);
  const gateway = await fixture.gateway({ config: { rest: true } });
  client = new RestClient(gateway.target);
  nodeId = await client.register({ name: 'ada' });
  await client.call('GET', '/api/v1/tasks');
  folder = await temporaryFolder('files');
});
afterAll(async () => {
  await fixture.close();
  await folder.remove();
});

const values = Float32Array.from({ length: 700_000 }, (_, at) => at % 977);
/** Compared by their hashes: the matcher takes seconds for a megabyte. */
const hashes = (files: Readonly<Record<string, Buffer>>) =>
  Object.fromEntries(Object.entries(files).map(([name, file]) => [name, hashOf(file)]));
const arrays = { 'layer/w': npyOf(values), b: npyOf([0.5]), größe: npyOf([1, 2, 3, 4, 5, 6], [2, 3]) };

/** Sends the file as one answer; what the gateway says at last. */
const send = async (format: string, content: Buffer) => {
  // it keeps parts by their hash alone
  aggregator.parts.clear();
  const { taskId } = await fixture.task(nodeId);
  const parts = Array.from({ length: Math.ceil(content.byteLength / MIB) }, (_, at) =>
    content.subarray(at * MIB, (at + 1) * MIB),
  );
  const slices = parts.map((part) => ({ sha256: hashOf(part), length: part.byteLength }));
  const path = `/api/v1/updates/${taskId}`;
  const body = { file: { format, slices }, numExamples: 20, metrics: { loss: 0.25 } };
  const begun = await client.call('POST', path, { body });
  if (begun.status !== 200) return { taskId, path, body, answer: begun };
  expect(begun.json().missing).toEqual([...new Set(slices.map(({ sha256 }) => sha256))]);
  for (const part of parts) await client.call('PUT', `${path}/parts/${hashOf(part)}`, { body: part });
  return { taskId, path, body, answer: await client.call('POST', path, { body }) };
};

/** The arrays that the aggregator was handed, put together from its parts. */
const handedIn = (taskId: string): Record<string, Buffer> => {
  const found = aggregator.submitted.filter(({ task }) => task?.taskId === taskId);
  expect(found).toHaveLength(1);
  return Object.fromEntries(
    (found[0]?.tensors ?? []).map(({ name, slices }) => {
      const pieces = slices.map(({ partId, offset, length }) =>
        (aggregator.parts.get(partId) as Buffer).subarray(Number(offset), Number(offset + length)),
      );
      return [name, Buffer.concat(pieces)];
    }),
  );
};

/** A file written by `zipfile`; `script` has `z`, `arrays` and `w`, which writes one as numpy.savez does. */
const zipped = async (script: string): Promise<Buffer> => {
  const path = join(folder.path, 'python.npz');
  const whole = `import sys, zipfile, json, io
arrays = {name: bytes.fromhex(text) for name, text in json.load(open(sys.argv[1])).items()}
z = zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_STORED)
def w(name, content):
    with z.open(name + ".npy", "w", force_zip64=True) as f: f.write(content)
${script}
z.close()`;
  const hex = Object.fromEntries(Object.entries(arrays).map(([name, npy]) => [name, npy.toString('hex')]));
  await writeFile(join(folder.path, 'arrays.json'), JSON.stringify(hex));
  await promisify(execFile)('python3', ['-c', whole, join(folder.path, 'arrays.json'), path]);
  return readFile(path);
};
const everything = 'for name, content in arrays.items(): w(name, content)';

const refusal = async (format: string, content: Buffer): Promise<string> => {
  const { answer, taskId } = await send(format, content);
  const said = JSON.parse(answer.bytes.toString());
  expect([answer.status, said.code]).toEqual([400, 'REPLY_MALFORMED']);
  // the round does not wait for this node any longer
  expect(aggregator.failed.some((failed) => failed.taskId === taskId)).toBe(true);
  return said.detail;
};

const safetensors = (header: unknown, data = Buffer.alloc(0)): Buffer => {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  return Buffer.concat([length, json, data]);
};

describe('an answer in one file', () => {
  it('as numpy.savez writes it is cut into its arrays where they lie', async () => {
    const { taskId, answer, path, body } = await send('npz', await zipped(everything));
    expect(answer.json()).toEqual({ status: 'accepted', missing: [] });
    expect(hashes(handedIn(taskId))).toEqual(hashes(arrays));
    // who did not hear it asks again
    expect((await client.call('POST', path, { body })).json()).toEqual({ status: 'accepted', missing: [] });
    const another = { ...body, numExamples: 9 };
    expect((await client.call('POST', path, { body: another })).json().code).toBe('TASK_ANSWERED');
  });

  it('as safetensors becomes .npy files, whose heads the gateway adds', async () => {
    const floats = Buffer.from(values.buffer);
    const header = {
      __metadata__: { format: 'pt' },
      'layer/w': { dtype: 'F32', shape: [700, 1000], data_offsets: [4, 4 + floats.byteLength] },
      b: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      none: { dtype: 'BF16', shape: [0], data_offsets: [4, 4] },
    };
    const { taskId, answer } = await send('safetensors', safetensors(header, Buffer.concat([Buffer.alloc(4), floats])));
    expect(answer.json()).toEqual({ status: 'accepted', missing: [] });
    const found = handedIn(taskId);
    expect(found['layer/w']?.equals(npyOf(values, [700, 1000]))).toBe(true);
    expect(found.b?.subarray(128)).toEqual(Buffer.alloc(4));
    expect(found.none?.toString('latin1')).toContain("{'descr': '<V2', 'fortran_order': False, 'shape': (0,), }");
    expect(Object.keys(found)).toHaveLength(3);
  });

  it('is refused in words where it is no such file', async () => {
    expect(await refusal('npz', await zipped('z.writestr("readme.txt", b"hello")'))).toBe(
      '"readme.txt" is no .npy file.',
    );
    const packed = 'z.writestr("b.npy", arrays["b"], zipfile.ZIP_DEFLATED)';
    expect(await refusal('npz', await zipped(packed))).toMatch(/is compressed: write the file with numpy.savez/);
    expect(await refusal('npz', await zipped('w("b", arrays["b"]); w("b", arrays["b"])'))).toBe(
      'Two members have the same name.',
    );
    const whole = await zipped(everything);
    expect(await refusal('npz', whole.subarray(0, -100))).toMatch(/^The archive cannot be read/);
    expect(await refusal('npz', Buffer.from('no archive'))).toMatch(/^The archive cannot be read/);
    expect(await refusal('safetensors', whole)).toMatch(/^Its header has \d+ bytes, at most/);
    expect(await refusal('safetensors', Buffer.alloc(3, 1))).toMatch(
      /^The file has 3 bytes, and says that something ends at 8/,
    );
    expect(await refusal('safetensors', safetensors('{"a": '))).toBe('Its header is no JSON.');
    expect(await refusal('safetensors', safetensors([1]))).toMatch(/^the header/);
    const one = (said: object) =>
      safetensors({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...said } }, Buffer.alloc(8));
    expect(await refusal('safetensors', one({ dtype: 'F4' }))).toMatch(/The type of the array "a" is F4/);
    expect(await refusal('safetensors', one({ shape: [3] }))).toMatch(/there are 8 bytes, and its shape says 12/);
    expect(await refusal('safetensors', one({ data_offsets: [8, 16] }))).toMatch(/says that something ends at/);
    expect(await refusal('safetensors', one({ shape: [-2] }))).toMatch(/does not say type, shape and place/);
    expect(await refusal('safetensors', one({ more: 1 }))).toMatch(/does not say type, shape and place/);
  });

  it('is refused where little that was sent is a lot: arrays over each other, pieces of large parts, a directory without end', async () => {
    const over = safetensors(
      {
        a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
        none: { dtype: 'F32', shape: [0], data_offsets: [4, 4] },
        b: { dtype: 'F32', shape: [1], data_offsets: [4, 8] },
      },
      Buffer.alloc(8),
    );
    expect(await refusal('safetensors', over)).toBe('The array "b" begins in another.');
    const twice = 'w("b", arrays["b"]); at = z.filelist[0]; w("c", arrays["b"])';
    const inside = `${twice}; z.filelist[1].header_offset = at.header_offset`;
    // Its local header is that of the other: the name betrays it.
    expect(await refusal('npz', await zipped(inside))).toMatch(/has two names/);
    const member = `inner = io.BytesIO()
y = zipfile.ZipFile(inner, "w"); y.writestr("c.npy", arrays["b"]); y.close()
w("b", inner.getvalue()); w("c", b"")
z.filelist[1].header_offset = z.filelist[0].header_offset + 30 + len("b.npy") + 20
z.filelist[1].file_size = z.filelist[1].compress_size = len(arrays["b"]); z.filelist[1].CRC = zipfile.crc32(arrays["b"])`;
    expect(await refusal('npz', await zipped(member))).toBe('"c.npy" begins in another member.');
    const named =
      'for at in range(300): i = zipfile.ZipInfo("n%d.npy" % at); i.comment = b"c" * 60000; z.writestr(i, b"")';
    expect(await refusal('npz', await zipped(named))).toMatch(/^Its directory has more than/);

    // A header of single bytes, from two parts in turn.
    const { taskId } = await fixture.task(nodeId);
    const path = `/api/v1/updates/${taskId}`;
    const length = Buffer.alloc(MIB, ' ');
    length.writeBigUInt64LE(1_000n);
    const parts = [length, Buffer.alloc(MIB, ' ')];
    for (const part of parts) aggregator.parts.set(hashOf(part), part);
    const one = (at: number, offset: number) => ({ sha256: hashOf(parts[at] as Buffer), offset, length: 1 });
    const slices = [{ ...one(0, 0), length: 8 }, ...Array.from({ length: 1_000 }, (_, at) => one(at % 2, 8))];
    const answer = await client.call('POST', path, {
      body: { file: { format: 'safetensors', slices }, numExamples: 1 },
    });
    expect(JSON.parse(answer.bytes.toString()).detail).toMatch(/made of small pieces of its parts/);
  });

  it('is refused beside tensors, and in parts that are shorter than it says', async () => {
    const { taskId } = await fixture.task(nodeId);
    const slices = [{ sha256: hashOf(arrays.b), length: arrays.b.byteLength }];
    const both = { file: { format: 'npz', slices }, tensors: [{ name: 'b', slices }], numExamples: 1 };
    const said = await client.call('POST', `/api/v1/updates/${taskId}`, { body: both });
    expect([said.status, said.json().code]).toEqual([400, 'REQUEST_MALFORMED']);
    const longer = [{ ...slices[0], length: 10_000 }];
    const path = `/api/v1/updates/${taskId}`;
    const body = { file: { format: 'npz', slices: longer }, numExamples: 1 };
    await client.call('POST', path, { body });
    await client.call('PUT', `${path}/parts/${hashOf(arrays.b)}`, { body: arrays.b });
    const answer = await client.call('POST', path, { body });
    expect([answer.status, answer.json().code]).toEqual([400, 'REPLY_MALFORMED']);
  });

  it('with any byte changed is an answer or a refusal, and nothing else', async () => {
    const small = await zipped('w("b", arrays["b"]); w("c", arrays["größe"])');
    const safe = safetensors({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, Buffer.alloc(8));
    const changed = fc.record({
      format: fc.constantFrom('npz', 'safetensors'),
      edits: fc.array(fc.record({ at: fc.nat(), byte: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
      cut: fc.nat(40),
    });
    await fc.assert(
      fc.asyncProperty(changed, async ({ format, edits, cut }) => {
        const content = Buffer.from(format === 'npz' ? small : safe);
        for (const { at, byte } of edits) content[at % content.byteLength] = byte;
        const { answer } = await send(format, content.subarray(0, content.byteLength - cut));
        expect(['accepted', 'REPLY_MALFORMED']).toContain(
          answer.json().status === 'accepted' ? 'accepted' : answer.json().code,
        );
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});

describe('a model', () => {
  it('is the same file in either format as the core reads it, and may be sent back as it is', async () => {
    const { key } = KeyFile.open(join(folder.path, 'key'), { create: true }).generate('test');
    const ids = [];
    for (const [format, read] of [
      ['npz', ModelFile.fromNpz],
      ['safetensors', ModelFile.fromSafetensors],
    ] as const) {
      const task = await fixture.task(nodeId, {}, modelOf({ 'layer/w': values, b: [0.5] }));
      const path = `/api/v1/model?task=${task.taskId}&format=${format}`;
      const whole = await client.call('GET', path);
      expect(whole.status).toBe(200);
      const range = await client.call('GET', path, { headers: { range: 'bytes=100-1999999' } });
      expect(range.bytes.equals(whole.bytes.subarray(100, 2_000_000))).toBe(true);
      expect((await client.call('GET', path, { headers: { 'if-none-match': whole.headers.etag ?? '' } })).status).toBe(
        304,
      );
      const { sha256 } = await read(whole.bytes, join(folder.path, format), key, { maxBytes: 2 ** 30 });
      ids.push([sha256, whole.headers.etag]);
      const { taskId, answer } = await send(format, whole.bytes);
      expect(answer.json().status).toBe('accepted');
      expect(hashes(handedIn(taskId))).toEqual(hashes({ 'layer/w': npyOf(values), b: npyOf([0.5]) }));
    }
    expect(ids[0]?.[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(ids[0]?.[0]).toBe(ids[1]?.[0]);
    expect(ids[0]?.[1]).not.toBe(ids[1]?.[1]);
  });
});
