import { PushMessagesRequest } from '@aegis/contracts/flwr/proto/fleet';
import { rawField } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import type { ObjectTreeNode, ReplyHead } from './fleet-contract.ts';
import { makeMessageObject } from './message.ts';
import { idsOf } from './object-tree.ts';
import { arrayBody, type HeldObject, holdObject, makeObject, namesBody, type ObjectType } from './objects.ts';
import { type ParsedReply, parseReply, type ReplyExpectation } from './parse-reply.ts';
import { readAnnouncement } from './push-messages.ts';
import { readTranscript, recordedObjects } from './recorded.ts';
import { type ConfigEntry, encodeConfigRecord, encodeMetricRecord } from './records.ts';

const layout = {
  dialect: 'message',
  arrayRecordKey: 'arrays',
  configRecordKey: 'config',
  weightedByKey: 'num-examples',
} as const;
const expected: ReplyExpectation = { kind: 'train', layout, tensorNames: [] };

describe('replies of real nodes', () => {
  for (const [name, dialect, tensorNames] of [
    ['fedavg.fleet', 'message', ['w', 'b']],
    ['v122.fleet-grpc', 'message', ['w', 'b']],
    ['legacy.fleet', 'legacy', ['weights', 'bias']],
  ] as const) {
    it(`${name}: are read as updates`, () => {
      const calls = readTranscript(name);
      const objects = new Map<string, HeldObject>();
      const contents = recordedObjects(calls, rawField.split);
      for (const [id, bytes] of contents) objects.set(id, holdObject(bytes));
      const seen = { train: 0, evaluate: 0, get_parameters: 0 };
      for (const call of calls) {
        if (call.method !== 'push-messages') continue;
        const { reply, tree, nodeId, runtimeSeconds } = readAnnouncement(call.request);
        expect(reply.sourceNodeId).toBe(nodeId);
        expect(runtimeSeconds > 0).toBe(name !== 'v122.fleet-grpc');
        const type = reply.type as keyof typeof seen;
        const kind = type === 'get_parameters' ? 'initial-model' : type;
        const parsed = parseReply(reply, tree, objects, { kind, layout: { ...layout, dialect }, tensorNames });
        if (parsed.outcome !== 'update') expect.fail('not an update');
        seen[type] += 1;
        expect(parsed.tensors.map((tensor) => tensor.name)).toEqual(kind === 'evaluate' ? [] : tensorNames);
        for (const { slices } of parsed.tensors) {
          for (const { part, offset, length } of slices) {
            const npy = contents.get(part)?.subarray(offset, offset + length);
            expect(npy?.subarray(1, 6).toString()).toBe('NUMPY');
          }
        }
        if (kind !== 'initial-model') expect([20, 30, 40]).toContain(parsed.weight);
        const keys = parsed.metrics.map(({ key }) => key);
        expect(keys).not.toContain('num-examples');
        if (kind === 'evaluate') expect(keys.some((key) => key.includes('loss'))).toBe(true);
      }
      expect(seen.train).toBeGreaterThan(1);
      expect(seen.evaluate).toBeGreaterThan(1);
      if (dialect === 'legacy') expect(seen.get_parameters).toBe(1);
    });
  }

  it('are refused when the announcement is changed in transit', () => {
    const calls = readTranscript('fedavg.fleet');
    const call = calls.find(({ method }) => method === 'push-messages') ?? expect.fail('none');
    const change = (edit: (request: PushMessagesRequest) => void): (() => unknown) => {
      const request = PushMessagesRequest.decode(call.request);
      edit(request);
      const bytes = PushMessagesRequest.encode(request).finish();
      return () => readAnnouncement(bytes);
    };
    const refused = expect.objectContaining({ code: 'REPLY_MALFORMED' });
    const metadata = (request: PushMessagesRequest) => request.messagesList[0]?.metadata ?? expect.fail('none');
    expect(change((request) => request.messagesList.push(...request.messagesList))).toThrow(refused);
    expect(change((request) => request.messageObjectTrees.push(...request.messageObjectTrees))).toThrow(refused);
    expect(change((request) => request.messagesList.pop())).toThrow(refused);
    expect(change((request) => request.messageObjectTrees.pop())).toThrow(refused);
    for (const edit of [
      { srcNodeId: 5n },
      { dstNodeId: 5n },
      { replyToMessageId: '' },
      { messageType: '' },
      { createdAt: Number.NaN },
      { createdAt: 5 },
      { ttl: 0 },
      { ttl: Number.NaN },
      { messageId: 'a'.repeat(64) },
    ]) {
      expect(
        change((request) => Object.assign(metadata(request), edit)),
        JSON.stringify(Object.keys(edit)),
      ).toThrow(refused);
    }
    const message = (request: PushMessagesRequest) => request.messagesList[0] ?? expect.fail('none');
    expect(change((request) => Object.assign(message(request), { content: undefined }))).toThrow(refused);
    const error = { code: 2n, reason: '' };
    expect(change((request) => Object.assign(message(request), { error }))).toThrow(refused);
    expect(change((request) => Object.assign(message(request), { metadata: undefined }))).toThrow(refused);
  });
});

/** Builds a reply as a node would, with parts that can be replaced. */
class ReplyBuilder {
  readonly objects = new Map<string, HeldObject>();

  add(type: ObjectType, children: ObjectTreeNode[], body: Uint8Array): ObjectTreeNode {
    const { id, bytes } = makeObject(
      type,
      children.map((child) => child.id),
      body,
    );
    this.objects.set(id, holdObject(bytes));
    return { id, children: [...new Map(children.map((child) => [child.id, child])).values()] };
  }

  names(type: 'RecordDict' | 'ArrayRecord', entries: [string, ObjectTreeNode][]): ObjectTreeNode {
    const body = namesBody(entries.map(([name, node]) => [name, node.id]));
    return this.add(
      type,
      entries.map(([, node]) => node),
      body,
    );
  }

  array(npy: Buffer, stype = 'numpy.ndarray'): ObjectTreeNode {
    const chunk = this.add('ArrayChunk', [], npy);
    return this.add('Array', [chunk], arrayBody({ dtype: 'float32', shape: [1], stype, chunks: [0] }));
  }

  arrays(): ObjectTreeNode {
    return this.names('ArrayRecord', [['w', this.array(Buffer.from('npy'))]]);
  }

  metrics(entries: ConfigEntry[] = [weight(20n)]): ObjectTreeNode {
    return this.add('MetricRecord', [], encodeMetricRecord(entries));
  }

  config(entries: ConfigEntry[]): ObjectTreeNode {
    return this.add('ConfigRecord', [], encodeConfigRecord(entries));
  }

  parse(content: [string, ObjectTreeNode][], expectation: Partial<ReplyExpectation> = {}): ParsedReply {
    const dict = this.names('RecordDict', content);
    const { id, bytes } = makeMessageObject(head, dict.id);
    this.objects.set(id, holdObject(bytes));
    const tree = { id, children: [dict] };
    return parseReply({ ...head, messageId: id, error: null }, tree, this.objects, { ...expected, ...expectation });
  }
}

const head = {
  runId: 7n,
  sourceNodeId: 42n,
  destinationNodeId: 1n,
  replyTo: 'f'.repeat(64),
  groupId: '',
  ttl: 100,
  type: 'train',
  createdAt: 1795293070,
};
const weight = (value: bigint): ConfigEntry => ({ key: 'num-examples', value: { kind: 'integer', value } });
const refusal = (text: string) =>
  expect.objectContaining({ code: 'REPLY_MALFORMED', detail: expect.stringContaining(text) });
const misplaced = (text: string) =>
  expect.objectContaining({ code: 'OBJECT_TREE', detail: expect.stringContaining(text) });

/** Counts how often an object is looked at. */
class CountedObjects extends Map<string, HeldObject> {
  looks = 0;

  override get(id: string): HeldObject | undefined {
    this.looks += 1;
    return super.get(id);
  }
}

describe('a reply', () => {
  it('gives tensors, metrics and weight whatever its records are called', () => {
    const b = new ReplyBuilder();
    const loss: ConfigEntry = { key: 'loss', value: { kind: 'reals', value: [1, 2] } };
    const parsed = b.parse([
      ['anything', b.metrics([weight(20n), loss])],
      ['notes', b.config([{ key: 'x', value: { kind: 'text', value: 'ignored' } }])],
      ['else', b.arrays()],
    ]);
    expect(parsed).toMatchObject({ outcome: 'update', weight: 20, metrics: [loss] });
    expect(parsed.outcome === 'update' && parsed.tensors).toEqual([
      { name: 'w', slices: [{ part: expect.stringMatching(/^[0-9a-f]{64}$/), offset: 14, length: 3 }] },
    ]);
  });

  it('without a number under the agreed key has no weight', () => {
    for (const entries of [[], [{ key: 'num-examples', value: { kind: 'reals', value: [1] } } as ConfigEntry]]) {
      const b = new ReplyBuilder();
      expect(
        b.parse([
          ['a', b.arrays()],
          ['m', b.metrics(entries)],
        ]),
      ).toMatchObject({ weight: null });
    }
  });

  it('is refused with two or no ArrayRecords or MetricRecords', () => {
    const b = new ReplyBuilder();
    expect(() => b.parse([['a', b.arrays()]])).toThrow(refusal('exactly one MetricRecord'));
    expect(() => b.parse([['m', b.metrics()]])).toThrow(refusal('exactly one ArrayRecord'));
    expect(() =>
      b.parse([
        ['a', b.arrays()],
        ['b', b.arrays()],
        ['m', b.metrics()],
      ]),
    ).toThrow(refusal('one ArrayRecord'));
    expect(() =>
      b.parse([
        ['m', b.metrics()],
        ['n', b.metrics([weight(1n)])],
      ]),
    ).toThrow(refusal('one MetricRecord'));
    expect(b.parse([['m', b.metrics()]], { kind: 'evaluate' })).toMatchObject({ outcome: 'update', tensors: [] });
  });

  it('is refused when an object is missing, of another type, or not what the tree says', () => {
    const b = new ReplyBuilder();
    const arrays = b.arrays();
    const metrics = b.metrics();
    for (const id of idsOf(arrays)) {
      const kept = b.objects.get(id) ?? expect.fail('missing');
      b.objects.delete(id);
      expect(() =>
        b.parse([
          ['a', arrays],
          ['m', metrics],
        ]),
      ).toThrow(refusal('never received'));
      b.objects.set(id, kept);
    }
    const wrong = b.names('ArrayRecord', [['w', metrics]]);
    expect(() =>
      b.parse([
        ['a', wrong],
        ['m', metrics],
      ]),
    ).toThrow(misplaced('is of type MetricRecord, which no ArrayRecord is made of'));
    const lying = { id: arrays.id, children: [] };
    expect(() =>
      b.parse([
        ['a', lying],
        ['m', metrics],
      ]),
    ).toThrow(refusal('children that were announced'));
  });

  it('is refused when an array is not a numpy array', () => {
    const b = new ReplyBuilder();
    const arrays = b.names('ArrayRecord', [['w', b.array(Buffer.from('x'), 'torch')]]);
    expect(() =>
      b.parse([
        ['a', arrays],
        ['m', b.metrics()],
      ]),
    ).toThrow(refusal('serialised as "torch"'));
  });

  it('is refused when its Message object tells another story than the announcement', () => {
    const b = new ReplyBuilder();
    const dict = b.names('RecordDict', [
      ['a', b.arrays()],
      ['m', b.metrics()],
    ]);
    const { id, bytes } = makeMessageObject({ ...head, runId: 8n }, dict.id);
    b.objects.set(id, holdObject(bytes));
    const announced: ReplyHead = { ...head, messageId: id, error: null };
    expect(() => parseReply(announced, { id, children: [dict] }, b.objects, expected)).toThrow(refusal('differ'));
  });

  describe('of objects that share their children, layer upon layer', () => {
    const WIDTH = 200;
    const layer = (make: (index: number) => ObjectTreeNode) =>
      Array.from({ length: WIDTH }, (_none, index) => make(index));
    const counted = (tree: ObjectTreeNode, objects: ReadonlyMap<string, HeldObject>) => {
      const looked = new CountedObjects(objects);
      const edges = [...objects.values()].reduce((sum, { children }) => sum + children.length, 0);
      const parse = () => parseReply({ ...head, messageId: tree.id, error: null }, tree, looked, expected);
      return { looked, edges, parse };
    };
    const sealed = (b: ReplyBuilder, dict: ObjectTreeNode): ObjectTreeNode => {
      const { id, bytes } = makeMessageObject(head, dict.id);
      b.objects.set(id, holdObject(bytes));
      return { id, children: [dict] };
    };

    it('is refused for a record made of records, after looking at each object once', () => {
      const b = new ReplyBuilder();
      let below = layer((index) => b.array(Buffer.from(`npy ${index}`)));
      for (let depth = 0; depth < 5; depth += 1) {
        const children = below;
        below = layer((index) => b.add('ArrayRecord', children, Buffer.from(`${depth} ${index}`)));
      }
      const dict = b.names(
        'RecordDict',
        below.map((node, index) => [`r${index}`, node]),
      );
      const { looked, edges, parse } = counted(sealed(b, dict), b.objects);
      expect(parse).toThrow(misplaced('is of type ArrayRecord, which no ArrayRecord is made of'));
      expect(looked.looks).toBeLessThanOrEqual(b.objects.size + edges);
    });

    it('is read after looking at each object once per place when the types are in order', () => {
      const b = new ReplyBuilder();
      const chunks = layer((index) => b.add('ArrayChunk', [], Buffer.from(`chunk ${index}`)));
      const all = chunks.map((_chunk, index) => index);
      const arrays = layer((index) =>
        b.add('Array', chunks, arrayBody({ dtype: `f${index}`, shape: [1], stype: 'numpy.ndarray', chunks: all })),
      );
      const records = layer((index) => b.add('ArrayRecord', arrays, Buffer.from(`${index}`)));
      const dict = b.names(
        'RecordDict',
        records.map((node, index) => [`r${index}`, node]),
      );
      const { looked, edges, parse } = counted(sealed(b, dict), b.objects);
      expect(parse).toThrow(refusal('exactly one MetricRecord'));
      expect(looked.looks).toBeLessThanOrEqual(2 * (b.objects.size + edges));
    });

    it('is refused when one array of many chunks stands under many names', () => {
      const b = new ReplyBuilder();
      const chunk = b.add('ArrayChunk', [], Buffer.from('npy'));
      const chunks = Array.from({ length: 20_000 }, () => 0);
      const array = b.add('Array', [chunk], arrayBody({ dtype: '', shape: [], stype: 'numpy.ndarray', chunks }));
      const record = b.names(
        'ArrayRecord',
        Array.from({ length: 20_000 }, (_none, index): [string, ObjectTreeNode] => [`w${index}`, array]),
      );
      expect(() =>
        b.parse([
          ['a', record],
          ['m', b.metrics()],
        ]),
      ).toThrow(refusal('more than 200000 chunks together'));
    });
  });

  it('with an error is a failure of the node', () => {
    const error = { code: 2, reason: "<class 'X'>" };
    const { id } = makeMessageObject(head, null, error);
    const announced: ReplyHead = { ...head, messageId: id, error };
    expect(parseReply(announced, { id, children: [] }, new Map(), expected)).toEqual({ outcome: 'failure', ...error });
  });
});

describe('a legacy reply', () => {
  const legacy: Partial<ReplyExpectation> = { layout: { ...layout, dialect: 'legacy' }, tensorNames: ['w', 'b'] };
  const status = (b: ReplyBuilder, code: bigint) =>
    b.config([
      { key: 'code', value: { kind: 'integer', value: code } },
      { key: 'message', value: { kind: 'text', value: 'Success' } },
    ]);
  const fit = (b: ReplyBuilder, code = 0n): [string, ObjectTreeNode][] => [
    ['fitres.metrics', b.config([{ key: 'loss', value: { kind: 'real', value: 1 } }, textMetric])],
    ['fitres.num_examples', b.metrics([{ key: 'num_examples', value: { kind: 'integer', value: 5n } }])],
    [
      'fitres.parameters',
      b.names('ArrayRecord', [
        ['0', b.array(Buffer.from('w'))],
        ['1', b.array(Buffer.from('b'))],
      ]),
    ],
    ['fitres.status', status(b, code)],
  ];
  const textMetric: ConfigEntry = { key: 'note', value: { kind: 'text', value: 'no mean' } };

  it('maps numbered arrays to the names of the model and leaves text metrics behind', () => {
    const b = new ReplyBuilder();
    const parsed = b.parse(fit(b), legacy);
    expect(parsed).toMatchObject({ weight: 5, metrics: [{ key: 'loss' }], tensors: [{ name: 'w' }, { name: 'b' }] });
  });

  it('with a status other than OK is a failure of the node', () => {
    const b = new ReplyBuilder();
    expect(b.parse(fit(b, 3n), legacy)).toEqual({ outcome: 'failure', code: 3, reason: 'Success' });
  });

  it('is refused when a record is missing', () => {
    const b = new ReplyBuilder();
    for (const name of ['fitres.metrics', 'fitres.num_examples', 'fitres.parameters', 'fitres.status']) {
      const content = fit(b).filter(([record]) => record !== name);
      expect(() => b.parse(content, legacy)).toThrow(refusal(`no record "${name}"`));
    }
  });

  it('with the placeholder of an empty list has no tensors', () => {
    const b = new ReplyBuilder();
    const empty = b.add('Array', [], arrayBody({ dtype: '', shape: [], stype: 'numpy.ndarray', chunks: [] }));
    const parameters = b.names('ArrayRecord', [['_empty', empty]]);
    const content: [string, ObjectTreeNode][] = [
      ['getparametersres.parameters', parameters],
      ['getparametersres.status', status(b, 0n)],
    ];
    expect(b.parse(content, { ...legacy, kind: 'initial-model' })).toMatchObject({ outcome: 'update', tensors: [] });
  });
});
