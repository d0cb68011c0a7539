import { PullMessagesResponse } from '@aegis/contracts/flwr/proto/fleet';
import { rawField } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { sha256HexSync } from './hash.ts';
import { fromWireMetadata, makeMessageObject, readMessage } from './message.ts';
import { idsOf } from './object-tree.ts';
import { makeObject, namesBody, readArrayBody, readNamesBody, readObject } from './objects.ts';
import { readTranscript, readVectors, recordedObjects } from './recorded.ts';
import { decodeConfigRecord, encodeConfigRecord, encodeMetricRecord } from './records.ts';
import {
  type ModelLayout,
  ModelObjectsCache,
  type ObjectPiece,
  type ReadModel,
  type RenderedMessage,
  renderModel,
  renderTask,
  type TaskToRender,
} from './render-task.ts';

const layout = {
  dialect: 'message',
  arrayRecordKey: 'arrays',
  configRecordKey: 'config',
  weightedByKey: 'num-examples',
} as const;
const task: TaskToRender = {
  runId: 7n,
  kind: 'train',
  nodeId: 42n,
  config: [
    { key: 'lr', value: { kind: 'real', value: 0.1 } },
    { key: 'server-round', value: { kind: 'integer', value: 1n } },
  ],
  layout,
  createdAt: 1750000000.5,
  ttl: 43200,
  groupId: '1',
};

/** A model whose body is these .npy files, one after the other. */
function modelOf(tensors: { name: string; dtype: string; shape: number[]; npy: Buffer }[]): {
  model: ModelLayout;
  read: ReadModel;
} {
  const body = Buffer.concat(tensors.map(({ npy }) => npy));
  let offset = 0;
  const laid = tensors.map(({ name, dtype, shape, npy }) => {
    offset += npy.length;
    return { name, dtype, shape, offset: offset - npy.length, length: npy.length };
  });
  const read: ReadModel = async (at, length) => body.subarray(at, at + length);
  return { model: { modelId: sha256HexSync([body]), tensors: laid }, read };
}

const bytesOf = async (piece: ObjectPiece, read: ReadModel): Promise<Buffer> =>
  piece.kind === 'bytes' ? piece.bytes : Buffer.concat([piece.header, await read(piece.offset, piece.length)]);

async function expectWhole(message: RenderedMessage, read: ReadModel): Promise<void> {
  expect([...message.objects.keys()].sort()).toEqual(idsOf(message.tree).sort());
  for (const [id, piece] of message.objects) expect(sha256HexSync([await bytesOf(piece, read)])).toBe(id);
}

describe('the worked example of PROTOCOL §3.2', () => {
  const recorded = readVectors('flower/objects.json').cases[0].objects;
  const npy = Buffer.from(recorded[0].bytes_hex, 'hex').subarray(16);

  it('comes out byte for byte', async () => {
    const { model, read } = modelOf([{ name: 'w', dtype: '<f4', shape: [2], npy }]);
    const arrays = await renderModel(model, 'message', read);
    const config = makeObject('ConfigRecord', [], encodeConfigRecord(task.config));
    const examples = { key: 'num-examples', value: { kind: 'integer', value: 20n } } as const;
    const metrics = makeObject('MetricRecord', [], encodeMetricRecord([examples]));
    const names = [
      ['arrays', arrays.tree.id],
      ['config', config.id],
      ['metrics', metrics.id],
    ] as const;
    const dict = makeObject(
      'RecordDict',
      names.map(([, id]) => id),
      namesBody(names),
    );
    const head = {
      runId: 7n,
      sourceNodeId: 1n,
      destinationNodeId: 42n,
      replyTo: '',
      groupId: '1',
      ttl: 43200,
      type: 'train',
      createdAt: 1750000000.5,
    };
    const message = makeMessageObject(head, dict.id);
    const made = new Map([config, metrics, dict, message].map(({ id, bytes }) => [id, bytes]));
    for (const [id, piece] of arrays.objects) made.set(id, await bytesOf(piece, read));
    const expected = recorded.map((object: { object_id: string; bytes_hex: string }) => [
      object.object_id,
      object.bytes_hex,
    ]);
    expect(new Map([...made].map(([id, bytes]) => [id, bytes.toString('hex')]))).toEqual(new Map(expected));
  });

  it('as a task of ours lacks only the metrics', async () => {
    const { model, read } = modelOf([{ name: 'w', dtype: '<f4', shape: [2], npy }]);
    const message = await renderTask(task, model, read);
    for (const { type, object_id: id } of recorded) {
      expect(message.objects.has(id)).toBe(!['MetricRecord', 'RecordDict', 'Message'].includes(type));
    }
    await expectWhole(message, read);
  });
});

describe('messages of a real server', () => {
  for (const [name, dialect] of [
    ['v122.fleet-grpc', 'message'],
    ['fedavg.fleet', 'message'],
    ['legacy.fleet', 'legacy'],
  ] as const) {
    it(`${name}: the task rendered by us has the recorded objects`, async () => {
      const calls = readTranscript(name);
      const objects = recordedObjects(calls, rawField.split);
      let compared = 0;
      for (const call of calls) {
        if (call.method !== 'pull-messages' || call.response.length === 0) continue;
        const { messagesList, messageObjectTrees } = PullMessagesResponse.decode(call.response);
        const head = fromWireMetadata(messagesList[0]?.metadata ?? expect.fail('no metadata'));
        const contentId = messageObjectTrees[0]?.children[0]?.objectId ?? '';
        const messageBytes = objects.get(head.messageId);
        const dictBytes = objects.get(contentId);
        if (dictBytes === undefined) continue;

        const again = makeMessageObject(head, contentId);
        expect(again.id).toBe(head.messageId);
        if (messageBytes !== undefined) expect(again.bytes.equals(messageBytes)).toBe(true);

        const dict = readObject(dictBytes);
        const records = new Map(readNamesBody(dict.body, dict.children));
        const kind = head.type === 'get_parameters' ? 'initial-model' : (head.type as 'train' | 'evaluate');
        const configKey = dialect === 'message' ? 'config' : `${prefixes[kind]}.config`;
        const config = decodeConfigRecord(
          readObject(objects.get(records.get(configKey) ?? '') ?? Buffer.alloc(0)).body,
        );
        const arraysId = records.get(dialect === 'message' ? 'arrays' : `${prefixes[kind]}.parameters`);
        const source = arraysId === undefined ? null : modelFromObjects(arraysId, objects);
        const rendered = await renderTask(
          {
            runId: head.runId,
            kind,
            nodeId: head.destinationNodeId,
            config,
            layout: { ...layout, dialect },
            createdAt: head.createdAt,
            ttl: head.ttl,
            groupId: head.groupId,
          },
          source?.model ?? null,
          source?.read ?? (async () => Buffer.alloc(0)),
        );
        expect(rendered.tree.children[0]?.id).toBe(contentId);
        // Our tasks belong to no ServerApp process; without its task id the whole message is equal.
        if (head.sourceTaskId === undefined) expect(rendered.messageId).toBe(head.messageId);
        for (const [id, piece] of rendered.objects) {
          const bytes = objects.get(id);
          if (bytes !== undefined) expect(bytes.equals(await bytesOf(piece, source?.read ?? never))).toBe(true);
        }
        compared += 1;
      }
      expect(compared).toBeGreaterThan(2);
    });
  }
});

const prefixes = { train: 'fitins', evaluate: 'evaluateins', 'initial-model': 'getparametersins' } as const;
const never: ReadModel = () => expect.fail('nothing to read');
const dtypes: Record<string, string> = { float32: '<f4', '': '<f4' };

function modelFromObjects(recordId: string, objects: Map<string, Buffer>) {
  const record = readObject(objects.get(recordId) ?? expect.fail('record missing'));
  return modelOf(
    readNamesBody(record.body, record.children).map(([name, id]) => {
      const array = readObject(objects.get(id) ?? expect.fail('array missing'));
      const { dtype, shape, chunks } = readArrayBody(array.body, array.children);
      const npy = Buffer.concat(
        chunks.map(
          (index) => readObject(objects.get(array.children[index] ?? '') ?? expect.fail('chunk missing')).body,
        ),
      );
      return { name: `model/${name}`.slice(dtype === '' ? 0 : 6), dtype: dtypes[dtype] ?? dtype, shape, npy };
    }),
  );
}

describe('rendering', () => {
  const npy = (length: number, fill: number): Buffer => Buffer.alloc(length, fill);

  it('cuts tensors into chunks, keeps equal chunks once, and refers to the model instead of copying it', async () => {
    const big = Buffer.alloc(25, 1);
    big[24] = 2;
    const { model, read } = modelOf([
      { name: 'a', dtype: '<f4', shape: [5], npy: big },
      { name: 'b', dtype: '|u1', shape: [10], npy: npy(10, 1) },
    ]);
    const { objects, tree } = await renderModel(model, 'message', read, 10);
    const slices = [...objects.values()].filter(({ kind }) => kind === 'slice');
    expect(slices.map((piece) => piece.kind === 'slice' && [piece.offset, piece.length])).toEqual([
      [0, 10],
      [20, 5],
    ]);
    const array = objects.get(tree.children[0]?.id ?? '');
    const { body, children } = readObject(array?.kind === 'bytes' ? array.bytes : Buffer.alloc(0));
    expect(readArrayBody(body, children).chunks).toEqual([0, 0, 1]);
    expect(tree.children[1]?.children).toHaveLength(1);
  });

  it('gives equal tensors one object under both names', async () => {
    const { model, read } = modelOf([
      { name: 'x', dtype: '<f4', shape: [2], npy: npy(8, 3) },
      { name: 'y', dtype: '<f4', shape: [2], npy: npy(8, 3) },
    ]);
    const message = await renderTask(task, model, read);
    expect(message.tree.children[0]?.children[0]?.children).toHaveLength(1);
    await expectWhole(message, read);
  });

  it('is the same for the same task, and shares all but the Message between nodes', async () => {
    const { model, read } = modelOf([{ name: 'x', dtype: '<f8', shape: [1], npy: npy(8, 3) }]);
    const one = await renderTask(task, model, read);
    const two = await renderTask(structuredClone(task), model, read);
    const other = await renderTask({ ...task, nodeId: 43n }, model, read);
    expect(two).toEqual(one);
    const different = [...other.objects.keys()].filter((id) => !one.objects.has(id));
    expect(different).toEqual([other.messageId]);
  });

  it('hashes a model once for many nodes, again after a failure, and forgets the oldest', async () => {
    const { model, read } = modelOf([{ name: 'x', dtype: '<f8', shape: [1], npy: npy(8, 3) }]);
    let reads = 0;
    let broken = true;
    const counting: ReadModel = async (offset, length) => {
      reads += 1;
      if (broken) throw new Error('away');
      return read(offset, length);
    };
    const cache = new ModelObjectsCache(1);
    await expect(renderTask(task, model, counting, cache)).rejects.toThrow('away');
    broken = false;
    await Promise.all([1n, 2n, 3n].map((nodeId) => renderTask({ ...task, nodeId }, model, counting, cache)));
    expect(reads).toBe(2);
    await renderTask({ ...task, layout: { ...layout, dialect: 'legacy' } }, model, counting, cache);
    await renderTask(task, model, counting, cache);
    expect(reads).toBe(4);
  });

  it('asks legacy nodes only for their parameters', async () => {
    const legacy = { ...task, kind: 'initial-model', layout: { ...layout, dialect: 'legacy' } } as const;
    const message = await renderTask({ ...legacy, config: [] }, null, never);
    expect(message.head.type).toBe('get_parameters');
    const piece = message.objects.get(message.messageId);
    expect(readMessage(readObject(piece?.kind === 'bytes' ? piece.bytes : Buffer.alloc(0)).body).type).toBe(
      'get_parameters',
    );
    await expect(renderTask({ ...legacy, layout }, null, never)).rejects.toThrow('Only a legacy app');
  });
});
