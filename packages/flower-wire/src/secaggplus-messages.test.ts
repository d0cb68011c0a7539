// The stages of Flower's SecAgg+ as messages: what a node is sent, and what of its reply is read, with the records that real nodes sent.
import { describe, expect, it } from 'vitest';
import type { ObjectTreeNode, ReplyHead } from './fleet-contract.ts';
import { makeMessageObject } from './message.ts';
import { type HeldObject, holdObject, makeObject, namesBody, readNamesBody, readObject } from './objects.ts';
import { type ParsedReply, parseReply } from './parse-reply.ts';
import { readVectors } from './recorded.ts';
import { decodeConfigRecord, encodeConfigRecord, encodeMetricRecord } from './records.ts';
import { renderModel, renderTaskWith, type TaskToRender } from './render-task.ts';
import { readSecaggplusAnswer, type SecaggplusRequest, type SecaggplusStage, secaggplusEntries } from './secaggplus.ts';

const layout = { dialect: 'legacy', arrayRecordKey: '', configRecordKey: '', weightedByKey: 'num-examples' } as const;
const task: TaskToRender = {
  ...{ runId: 7n, kind: 'train', nodeId: 42n, config: [], layout },
  ...{ createdAt: 1750000000.5, ttl: 43200, groupId: '1' },
};
const model = await renderModel({ modelId: 'm', tensors: [] }, 'legacy', async () => Buffer.alloc(0));

describe('what a node is sent', () => {
  const recordsOf = (secaggplus: SecaggplusRequest) => {
    const trains = secaggplus.stage === 'collect_masked_vectors';
    const { tree, objects, head } = renderTaskWith({ ...task, secaggplus }, trains ? model : null);
    const body = (id: string) => {
      const piece = objects.get(id);
      return readObject(piece?.kind === 'bytes' ? piece.bytes : Buffer.alloc(0));
    };
    const dict = body(tree.children[0]?.id ?? '');
    const names = new Map(readNamesBody(dict.body, dict.children));
    return { type: head.type, names, entries: decodeConfigRecord(body(names.get('secaggplus_configs') ?? '').body) };
  };

  it.each<SecaggplusRequest>([
    {
      ...{ stage: 'setup', sampleNum: 3, shareNum: 3, threshold: 2 },
      ...{ clippingRange: 8, targetRange: 4, modRange: 64, maxWeight: 1 },
    },
    { stage: 'share_keys', keys: [{ node: 2n ** 64n - 1n, pk1: Buffer.from('a'), pk2: Buffer.from('b') }] },
    { stage: 'unmask', active: [1n, 2n ** 63n], dead: [] },
  ])('is the stage alone in $stage', (request) => {
    const { type, names, entries } = recordsOf(request);
    expect(type).toBe('train');
    expect([...names.keys()]).toEqual(['secaggplus_configs']);
    expect(encodeConfigRecord(entries)).toEqual(encodeConfigRecord(secaggplusEntries(request)));
  });

  it('is the stage beside model and configuration where it trains', () => {
    const request: SecaggplusRequest = {
      stage: 'collect_masked_vectors',
      sealed: [{ from: 5n, ciphertext: Buffer.from('c') }],
    };
    const { names, entries } = recordsOf(request);
    expect([...names.keys()].sort()).toEqual(['fitins.config', 'fitins.parameters', 'secaggplus_configs']);
    expect(encodeConfigRecord(entries)).toEqual(encodeConfigRecord(secaggplusEntries(request)));
  });

  it('names each stage otherwise, so that none is taken for another', () => {
    const ids = (['unmask', 'collect_masked_vectors'] as const).map((stage) => {
      const request: SecaggplusRequest = stage === 'unmask' ? { stage, active: [], dead: [] } : { stage, sealed: [] };
      return renderTaskWith({ ...task, secaggplus: request }, stage === 'unmask' ? null : model).messageId;
    });
    expect(new Set(ids).size).toBe(2);
  });
});

const recorded: { nodes: Record<string, Record<SecaggplusStage, { answer?: string }>> }[] =
  readVectors('flower/secagg_runs.json').runs;
const [said] = Object.values(recorded[0]?.nodes ?? {});
const answerIn = (stage: SecaggplusStage): Buffer => Buffer.from(said?.[stage].answer ?? '', 'hex');

const ok = encodeConfigRecord([
  { key: 'code', value: { kind: 'integer', value: 0n } },
  { key: 'message', value: { kind: 'text', value: 'Success' } },
]);
const examples = encodeMetricRecord([{ key: 'num_examples', value: { kind: 'integer', value: 120n } }]);
const metrics = encodeConfigRecord([{ key: 'loss', value: { kind: 'real', value: 0.5 } }]);

/** A reply with these records; its objects by id. */
function replyOf(records: Record<string, ['ConfigRecord' | 'MetricRecord' | 'ArrayRecord', Buffer]>) {
  const made = Object.entries(records).map(([name, [type, body]]) => ({ name, ...makeObject(type, [], body) }));
  const ids = [...new Set(made.map(({ id }) => id))];
  const dict = makeObject('RecordDict', ids, namesBody(made.map(({ name, id }): [string, string] => [name, id])));
  const metadata = {
    ...{ runId: 7n, sourceNodeId: 42n, destinationNodeId: 1n, replyTo: 'a'.repeat(64), groupId: '1', ttl: 3600 },
    ...{ type: 'train', createdAt: 1750000000.5 },
  };
  const message = makeMessageObject(metadata, dict.id);
  const bytes = new Map([...made, dict, message].map((object): [string, Buffer] => [object.id, object.bytes]));
  const tree: ObjectTreeNode = {
    id: message.id,
    children: [{ id: dict.id, children: ids.map((id) => ({ id, children: [] })) }],
  };
  const head: ReplyHead = { ...metadata, messageId: message.id, error: null };
  const parse = (secaggplus: SecaggplusStage): ParsedReply => {
    const held = new Map([...bytes].map(([id, content]): [string, HeldObject] => [id, holdObject(content)]));
    return parseReply(head, tree, held, { kind: 'train', layout, tensorNames: [], secaggplus });
  };
  return { bytes, parse };
}

const trained = (more: Parameters<typeof replyOf>[0] = {}) =>
  replyOf({
    'fitres.parameters': ['ArrayRecord', namesBody([])],
    'fitres.num_examples': ['MetricRecord', examples],
    'fitres.metrics': ['ConfigRecord', metrics],
    'fitres.status': ['ConfigRecord', ok],
    secaggplus_configs: ['ConfigRecord', answerIn('collect_masked_vectors')],
    ...more,
  });

describe('what of a reply is read', () => {
  it.each(['setup', 'share_keys', 'unmask'] as const)('is the answer of a real node in %s', (stage) => {
    const parsed = replyOf({ secaggplus_configs: ['ConfigRecord', answerIn(stage)] }).parse(stage);
    const secaggplus = readSecaggplusAnswer(stage, decodeConfigRecord(answerIn(stage)));
    expect(parsed).toEqual({ outcome: 'update', tensors: [], metrics: [], weight: null, secaggplus });
  });

  it('is where the arrays of a real vector lie, and what is reported beside it', () => {
    const { bytes, parse } = trained();
    const parsed = parse('collect_masked_vectors');
    if (parsed.outcome !== 'update' || parsed.secaggplus?.stage !== 'collect_masked_vectors') expect.fail('no vector');
    expect(parsed).toMatchObject({ weight: 120, metrics: [{ key: 'loss' }], tensors: [] });
    const expected = readSecaggplusAnswer(
      'collect_masked_vectors',
      decodeConfigRecord(answerIn('collect_masked_vectors')),
    );
    const files = parsed.secaggplus.arrays.map((slices) =>
      Buffer.concat(
        slices.map(({ part, offset, length }) =>
          (bytes.get(part) ?? Buffer.alloc(0)).subarray(offset, offset + length),
        ),
      ),
    );
    expect({ stage: 'collect_masked_vectors', arrays: files }).toEqual(expected);
    expect(files).toHaveLength(3);
  });

  it('is that it failed', () => {
    const failed = encodeConfigRecord([
      { key: 'code', value: { kind: 'integer', value: 3n } },
      { key: 'message', value: { kind: 'text', value: 'no data' } },
    ]);
    const { parse } = trained({ 'fitres.status': ['ConfigRecord', failed] });
    expect(parse('collect_masked_vectors')).toEqual({ outcome: 'failure', code: 3, reason: 'no data' });
  });

  it.each([
    ['an app without the mod', replyOf({ 'fitres.status': ['ConfigRecord', ok] }), 'setup', 'secaggplus_mod'],
    [
      'the answer to another stage',
      replyOf({ secaggplus_configs: ['ConfigRecord', answerIn('setup')] }),
      'unmask',
      '"nids"',
    ],
    [
      'no vector',
      trained({ secaggplus_configs: ['ConfigRecord', answerIn('setup')] }),
      'collect_masked_vectors',
      '"masked_params"',
    ],
  ] as const)('is nothing of %s', (_, { parse }, stage, why) => {
    expect(() => parse(stage)).toThrow(
      expect.objectContaining({ code: 'REPLY_MALFORMED', message: expect.stringContaining(why) }),
    );
  });
});
