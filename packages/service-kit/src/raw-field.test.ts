import { AppendPartRequest, PutPlanRequest, ReadPartResponse } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { Scalar } from '@aegis/contracts/aegis/events/v1/task';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { messageCodec } from './message-codec.ts';
import { rawField } from './raw-field.ts';

const encoded = (request: AppendPartRequest): Buffer => Buffer.from(AppendPartRequest.encode(request).finish());
const request = (content: Buffer): AppendPartRequest => ({
  task: { taskId: 'task', runId: 2n ** 64n - 1n, nodeId: 3n },
  partId: 'part',
  content,
});

describe('rawField', () => {
  it('splits what the generated codec wrote: the rest decodes to the rest, the body is a view', () => {
    const bytes = encoded(request(Buffer.from('the body')));
    const { head, body } = rawField.split(bytes, 15);
    expect(body).toEqual(Buffer.from('the body'));
    expect([body.buffer, head.buffer]).toEqual([bytes.buffer, bytes.buffer]);
    expect(AppendPartRequest.decode(head)).toEqual(request(Buffer.alloc(0)));
  });

  it('joins to what the generated codec reads', () => {
    const head = encoded(request(Buffer.alloc(0)));
    for (const length of [1, 127, 128, 16_384, 3_000_000]) {
      const body = Buffer.alloc(length, 'b');
      expect(AppendPartRequest.decode(rawField.join(head, 15, body))).toEqual(request(body));
    }
    expect(rawField.join(head, 15, Buffer.alloc(0))).toEqual(head);
  });

  it('finds the field first, in the middle, last, absent, and takes the last of several', () => {
    const field = (number: number, text: string) => rawField.join(Buffer.alloc(0), number, Buffer.from(text));
    const other = Buffer.from([0x08, 0x96, 0x01]); // field 1, varint 150
    const cases: [Buffer[], string, Buffer[]][] = [
      [[field(15, 'x'), other], 'x', [other]],
      [[other, field(15, 'x'), field(2, 'y')], 'x', [other, field(2, 'y')]],
      [[other, field(15, 'x')], 'x', [other]],
      [[other], '', [other]],
      [[], '', []],
      [[field(15, 'a'), other, field(15, 'b')], 'b', [other]],
    ];
    for (const [parts, body, head] of cases) {
      expect(rawField.split(Buffer.concat(parts), 15)).toEqual({ head: Buffer.concat(head), body: Buffer.from(body) });
    }
  });

  it('steps over every wire type, and over nested messages that look like the field', () => {
    const nested = rawField.join(Buffer.alloc(0), 3, rawField.join(Buffer.alloc(0), 15, Buffer.from('inner')));
    const message = Buffer.concat([
      Buffer.from([0x09, 1, 2, 3, 4, 5, 6, 7, 8]), // 1: fixed64
      Buffer.from([0x15, 1, 2, 3, 4]), // 2: fixed32
      Buffer.from([0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), // 4: varint 2^64-1
      nested,
    ]);
    expect(rawField.split(message, 15)).toEqual({ head: message, body: Buffer.alloc(0) });
  });

  it.each([
    ['a length beyond the end', [0x7a, 0x05, 0x01]],
    ['a length of many gigabytes', [0x7a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00]],
    ['an end inside a tag', [0xfa]],
    ['an end inside a varint', [0x08, 0x80]],
    ['a varint of eleven bytes', [0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]],
    ['a varint of more than 64 bits', [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]],
    ['an end inside a fixed64', [0x09, 1, 2, 3]],
    ['an end inside a fixed32', [0x0d, 1, 2, 3]],
    ['field number 0', [0x02, 0x00]],
    ['a field number beyond 2^29', [0x82, 0x80, 0x80, 0x80, 0x10, 0x00]],
    ['a group', [0x0b, 0x0c]],
    ['wire type 7', [0x0f]],
    ['the field as a varint', [0x78, 0x01]],
  ])('refuses %s', (_, bytes) => {
    expect(() => rawField.split(Buffer.from(bytes), 15)).toThrow(
      expect.objectContaining({ code: 'REQUEST_MALFORMED' }),
    );
  });

  it('never throws anything else, and never reads outside the message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (bytes, field) => {
        try {
          const { head, body } = rawField.split(bytes, field);
          expect(head.length + body.length).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toMatchObject({ code: 'REQUEST_MALFORMED' });
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('messageCodec', () => {
  const codecOf = <T>(fns: { encode(value: T): { finish(): Uint8Array }; decode(bytes: Buffer): T }) =>
    messageCodec(
      (value) => Buffer.from(fns.encode(value as T).finish()),
      (bytes) => fns.decode(bytes),
    );

  it('speaks the same bytes as the generated codec, both ways, whatever the size of the body', () => {
    const codec = codecOf(AppendPartRequest);
    for (const length of [0, 1, 4095, 4096, 100_000]) {
      const message = request(Buffer.alloc(length, 'w'));
      expect(AppendPartRequest.decode(codec.encode(message))).toEqual(message);
      expect(codec.decode(encoded(message))).toEqual(message);
    }
  });

  it('hands a large body on as a view', () => {
    const bytes = Buffer.from(ReadPartResponse.encode({ content: Buffer.alloc(10_000) }).finish());
    const { content } = codecOf(ReadPartResponse).decode(bytes) as ReadPartResponse;
    expect(content.buffer).toBe(bytes.buffer);
  });

  it('finds the big field under any name, and none where there is none', () => {
    const plan: PutPlanRequest = PutPlanRequest.create({ appId: 'a/b', modelNpz: Buffer.alloc(50_000, 'm') });
    const codec = codecOf(PutPlanRequest);
    expect(codec.decode(codec.encode(plan))).toEqual(plan);
    const scalar: Scalar = { value: { $case: 'data', value: Buffer.alloc(50_000) } };
    expect(codecOf(Scalar).decode(codecOf(Scalar).encode(scalar))).toEqual(scalar);
  });

  it('leaves the message it encodes alone', () => {
    const message = request(Buffer.alloc(10_000));
    codecOf(AppendPartRequest).encode(message);
    expect(message.content.length).toBe(10_000);
  });
});
