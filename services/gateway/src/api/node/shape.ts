import { AegisError } from '@aegis/errors';
import { nodeLimits } from './limits.ts';

// Two bytes of a message can become an object of a hundred: what repeats is counted before the decoder makes objects of it.

const frameField = { beginUpdate: 5, submit: 6, purposes: 12 } as const;
const LENGTH_DELIMITED = 2;
const fixed: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/** Throws REQUEST_MALFORMED when a frame (without its content) repeats more than any honest client needs. */
export const checkShape = (frame: Buffer): void => {
  let parts = 0;
  let tensors = 0;
  let slices = 0;
  let metrics = 0;
  let metricBytes = 0;
  let purposes = 0;
  eachField(frame, (field, value) => {
    if (field === frameField.beginUpdate) {
      eachField(value, (inner) => {
        if (inner === 2) parts += 1;
      });
    }
    if (field === frameField.purposes) {
      eachField(value, (inner) => {
        if (inner === 2) purposes += 1;
      });
    }
    if (field !== frameField.submit) return;
    eachField(value, (inner, item) => {
      if (inner === 2) {
        tensors += 1;
        eachField(item, (innermost) => {
          if (innermost === 2) slices += 1;
        });
      } else if (inner === 5) {
        slices += 1;
      } else if (inner === 3) {
        metrics += 1;
        metricBytes += item.byteLength;
      }
    });
  });
  refuseAbove('purposes', purposes, nodeLimits.purposes);
  refuseAbove('parts', parts, nodeLimits.parts);
  refuseAbove('tensors', tensors, nodeLimits.tensors);
  refuseAbove('slices', slices, nodeLimits.slices);
  refuseAbove('metrics', metrics, nodeLimits.metrics);
  refuseAbove('bytes of metrics', metricBytes, nodeLimits.metricBytes);
};

const refuseAbove = (what: string, count: number, limit: number): void => {
  if (count > limit) throw malformed(`A frame names ${count} ${what}, at most ${limit} are taken.`);
};

const malformed = (detail: string): AegisError => new AegisError('REQUEST_MALFORMED', detail);

/** The length-delimited fields of a message; everything else is passed over. */
const eachField = (message: Buffer, visit: (field: number, value: Buffer) => void): void => {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1, i = 0; i < 10; i += 1, scale *= 128) {
      const byte = message[at];
      if (byte === undefined) break;
      at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw malformed('A frame ends inside a number, or has one of more than 64 bits.');
  };
  while (at < message.byteLength) {
    const tag = varint();
    const type = tag % 8;
    if (type === 0) varint();
    else if (type === LENGTH_DELIMITED) {
      const length = varint();
      if (length > message.byteLength - at) throw malformed('A field is longer than its frame.');
      visit(Math.floor(tag / 8), message.subarray(at, at + length));
      at += length;
    } else {
      const width = fixed[type];
      if (width === undefined) throw malformed('A frame uses a wire type that proto3 does not have.');
      at += width;
    }
  }
};
