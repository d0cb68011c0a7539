import { readFileSync } from 'node:fs';
import { ClientMessage, Code, ServerMessage } from '@aegis/contracts/flwr/proto/transport';
import { AegisError } from '@aegis/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeInstruction, encodeReconnect, readJoinReply } from './join-messages.ts';
import { limits } from './limits.ts';
import type { ConfigEntry } from './records.ts';

const npy = (name: string): Buffer => Buffer.from(`\x93NUMPY ${name}`, 'latin1');
const status = (code: Code = Code.OK, message = 'Success') => ({ code, message });
const bytesOf = (msg: ClientMessage['msg']): Buffer => Buffer.from(ClientMessage.encode({ msg }).finish());
const fitOf = (changes: object = {}): Buffer =>
  bytesOf({
    $case: 'fitRes',
    value: {
      status: status(),
      parameters: { tensors: [npy('a'), npy('b')], tensorType: 'numpy.ndarray' },
      numExamples: 30n,
      metrics: {
        loss: { scalar: { $case: 'double', value: 0.5 } },
        steps: { scalar: { $case: 'sint64', value: 5n } },
        who: { scalar: { $case: 'string', value: 'me' } },
      },
      ...changes,
    },
  });
const refusal = (bytes: Buffer): unknown => {
  try {
    readJoinReply(bytes);
  } catch (error) {
    return error;
  }
  return 'it was taken';
};

describe('an instruction', () => {
  const config: ConfigEntry[] = [
    { key: 'lr', value: { kind: 'real', value: 0.1 } },
    { key: 'round', value: { kind: 'integer', value: -3n } },
    { key: 'flag', value: { kind: 'flag', value: true } },
    { key: 'name', value: { kind: 'text', value: 'x' } },
    { key: 'blob', value: { kind: 'data', value: Buffer.from([0, 1]) } },
  ];
  const scalars = {
    lr: { scalar: { $case: 'double', value: 0.1 } },
    round: { scalar: { $case: 'sint64', value: -3n } },
    flag: { scalar: { $case: 'bool', value: true } },
    name: { scalar: { $case: 'string', value: 'x' } },
    blob: { scalar: { $case: 'bytes', value: Buffer.from([0, 1]) } },
  };
  const parameters = { tensors: [npy('abc'), npy('d')], tensorType: 'numpy.ndarray' };
  const pieces = [[npy('abc').subarray(0, 4), npy('abc').subarray(4)], [npy('d')]];

  it.each([
    ['train', 'fitIns', { parameters, config: scalars }],
    ['evaluate', 'evaluateIns', { parameters, config: scalars }],
    ['initial-model', 'getParametersIns', { config: scalars }],
  ] as const)('to %s is what Flower writes', (kind, $case, value) => {
    expect(ServerMessage.decode(Buffer.concat(encodeInstruction(kind, config, pieces))).msg).toEqual({ $case, value });
  });

  it('of a list in the config is refused, naming the key', () => {
    const list: ConfigEntry[] = [{ key: 'sizes', value: { kind: 'integers', value: [1n] } }];
    expect(() => encodeInstruction('train', list, [])).toThrow(
      expect.objectContaining({ detail: expect.stringContaining('sizes') }),
    );
  });

  it('to come again is read as such', () => {
    const msg = ServerMessage.decode(encodeReconnect(10)).msg;
    expect(msg).toEqual({ $case: 'reconnectIns', value: { seconds: 10n } });
  });
});

describe('an answer', () => {
  it('of fit shows its arrays as views, its weight, and the metrics that are numbers', () => {
    const bytes = fitOf();
    const reply = readJoinReply(bytes);
    expect(reply).toEqual({
      kind: 'train',
      tensors: [npy('a'), npy('b')],
      weight: 30,
      metrics: [
        { key: 'loss', value: { kind: 'real', value: 0.5 } },
        { key: 'steps', value: { kind: 'integer', value: 5n } },
      ],
    });
    expect(reply.kind === 'train' && reply.tensors[0]?.buffer).toBe(bytes.buffer);
  });

  it('of evaluate has its loss first, as the float32 it travels as', () => {
    const bytes = bytesOf({
      $case: 'evaluateRes',
      value: { status: status(), loss: 0.1, numExamples: 7n, metrics: {} },
    });
    const metrics = [{ key: 'loss', value: { kind: 'real', value: Math.fround(0.1) } }];
    expect(readJoinReply(bytes)).toEqual({ kind: 'evaluate', weight: 7, metrics });
  });

  it('of a first model, of a failure, and of leaving', () => {
    const parameters = { tensors: [npy('a')], tensorType: 'numpy.ndarray' };
    const first = bytesOf({ $case: 'getParametersRes', value: { status: status(), parameters } });
    expect(readJoinReply(first)).toEqual({ kind: 'initial-model', tensors: [npy('a')] });
    const failed = fitOf({ status: status(Code.FIT_NOT_IMPLEMENTED, 'no fit here'), parameters: undefined });
    expect(readJoinReply(failed)).toEqual({ kind: 'failure', code: 3, reason: 'no fit here' });
    expect(readJoinReply(bytesOf({ $case: 'disconnectRes', value: { reason: 4 } }))).toEqual({ kind: 'disconnect' });
  });

  it('is read as stock clients write it', () => {
    const lines = readFileSync(
      new URL('../../../tests/vectors/flower/transcripts/join-bidi.jsonl', import.meta.url),
      'utf8',
    )
      .trim()
      .split('\n');
    const answers = lines
      .map((line) => JSON.parse(line) as { dir?: string; hex?: string; msg?: object })
      .filter(({ dir }) => dir === 'client->server');
    const kinds = answers.map(({ hex = '', msg = {} }) => {
      if ('get_properties_res' in msg) return 'properties';
      return readJoinReply(Buffer.from(hex, 'hex')).kind;
    });
    expect(new Set(kinds)).toEqual(new Set(['properties', 'initial-model', 'train', 'evaluate']));
  });

  it('that is none is refused', () => {
    const malformed = expect.objectContaining({ code: 'REPLY_MALFORMED' });
    expect(refusal(Buffer.alloc(0))).toEqual(malformed);
    expect(refusal(Buffer.concat([fitOf(), fitOf()]))).toEqual(malformed);
    expect(refusal(bytesOf({ $case: 'getPropertiesRes', value: { status: status(), properties: {} } }))).toEqual(
      malformed,
    );
    expect(refusal(fitOf({ parameters: { tensors: [npy('a')], tensorType: 'ND' } }))).toEqual(malformed);
    const metrics = Object.fromEntries(Array.from({ length: limits.metrics + 1 }, (_, at) => [`m${at}`, undefined]));
    const many = Object.fromEntries(
      Object.keys(metrics).map((key) => [key, { scalar: { $case: 'double', value: 1 } }]),
    );
    expect(refusal(fitOf({ metrics: many }))).toEqual(malformed);
  });

  it('of random or damaged bytes is read, or refused', () => {
    const sound = fitOf();
    const damaged = fc
      .record({ at: fc.nat(sound.length - 1), to: fc.nat(255), cut: fc.nat(sound.length) })
      .map(({ at, to, cut }) => {
        const bytes = Buffer.from(sound.subarray(0, cut));
        if (at < bytes.length) bytes[at] = to;
        return bytes;
      });
    const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(damaged, random), (bytes) => {
        try {
          readJoinReply(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(AegisError);
          expect(error).toMatchObject({ entry: { kind: 'invalid' } });
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
