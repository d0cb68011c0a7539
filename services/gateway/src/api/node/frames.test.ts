import { randomBytes } from 'node:crypto';
import { ClientFrame, ServerFrame, type Submit } from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFrame, writeFrame } from './frames.ts';
import { nodeLimits } from './limits.ts';

const bytesOf = (frame: ClientFrame['frame'], content = Buffer.alloc(0)): Buffer =>
  Buffer.from(ClientFrame.encode({ frame, content }).finish());
const refusal = (bytes: Buffer): AegisError => {
  try {
    readFrame(bytes);
  } catch (error) {
    if (error instanceof AegisError) return error;
    throw error;
  }
  throw new Error('it was taken');
};
const submitOf = (tensors: Submit['tensors']): ClientFrame['frame'] => ({
  $case: 'submit',
  value: { taskId: 't', tensors, metrics: [], runtimeSeconds: 0, masked: [] },
});

describe('a frame', () => {
  it('shows its content as a view, wherever it stands', () => {
    const content = randomBytes(100_000);
    const part = { $case: 'part', value: { taskId: 't', partId: 'p' } } as const;
    const bytes = bytesOf(part, content);
    const heard = readFrame(bytes);
    expect(heard.said).toEqual(part);
    expect(heard.content.equals(content)).toBe(true);
    expect(heard.content.buffer).toBe(bytes.buffer);
  });

  it('carries content the other way', () => {
    const content = randomBytes(100_000);
    const bytes = writeFrame({ $case: 'modelBytes', value: { requestId: 3n, offset: 5n } }, content);
    const { frame, content: carried } = ServerFrame.decode(bytes);
    expect(frame).toEqual({ $case: 'modelBytes', value: { requestId: 3n, offset: 5n } });
    expect(content.equals(carried)).toBe(true);
  });

  it('of random bytes is read, or refused as malformed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          readFrame(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: 'REQUEST_MALFORMED' });
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('that was damaged is read, or refused as malformed', () => {
    const sound = bytesOf(
      submitOf([{ name: 'w', slices: [{ partId: 'a'.repeat(64), offset: 2n ** 60n, length: 7n }] }]),
      randomBytes(50),
    );
    const damage = fc.record({ at: fc.nat(sound.length - 1), to: fc.nat(255), cut: fc.nat(sound.length) });
    fc.assert(
      fc.property(damage, ({ at, to, cut }) => {
        const bytes = Buffer.from(sound.subarray(0, Math.max(cut, 1)));
        if (at < bytes.length) bytes[at] = to;
        try {
          readFrame(bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: 'REQUEST_MALFORMED' });
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('that repeats without end is refused before objects are made of it', () => {
    const empty = { partId: '', offset: 0n, length: 0n };
    const tensors = Array.from({ length: nodeLimits.tensors + 1 }, () => ({ name: '', slices: [] }));
    const slices = Array.from({ length: nodeLimits.slices + 1 }, () => empty);
    const partIds = Array.from({ length: nodeLimits.parts + 1 }, () => '');
    const metric = (key: string) => ({ key, value: undefined });
    const metrics = Array.from({ length: nodeLimits.metrics + 1 }, () => metric(''));
    const submit = { taskId: '', tensors: [], metrics: [], runtimeSeconds: 0, masked: [] };
    const frames: ClientFrame['frame'][] = [
      submitOf(tensors),
      submitOf([{ name: '', slices }]),
      { $case: 'beginUpdate', value: { taskId: '', partIds } },
      { $case: 'submit', value: { ...submit, masked: slices } },
      { $case: 'submit', value: { ...submit, metrics } },
      { $case: 'submit', value: { ...submit, metrics: [metric('k'.repeat(nodeLimits.metricBytes))] } },
    ];
    for (const frame of frames) expect(refusal(bytesOf(frame)).detail).toContain('at most');
  });

  it('as large as an honest one gets is taken', () => {
    const partIds = Array.from({ length: nodeLimits.parts }, (_, index) => index.toString(16).padStart(64, '0'));
    const bytes = bytesOf({ $case: 'beginUpdate', value: { taskId: 't', partIds } });
    expect(bytes.length).toBeLessThan(nodeLimits.frame);
    expect(readFrame(bytes).said).toMatchObject({ value: { partIds } });
    const slices = partIds.map((partId) => ({ partId, offset: 2n ** 40n, length: 2n ** 20n }));
    const submit = bytesOf(submitOf([{ name: 'w', slices }]));
    expect(submit.length).toBeLessThan(nodeLimits.frame);
    expect(readFrame(submit).said.$case).toBe('submit');
  });
});
