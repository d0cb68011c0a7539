import { describe, expect, it } from 'vitest';
import { bodyBuffers } from './body-buffers.ts';

const MiB = 2 ** 20;

describe('body buffers', () => {
  it('gives memory out again once it was given back, and never before', () => {
    const held = bodyBuffers.take(5 * MiB);
    const other = bodyBuffers.take(5 * MiB);
    expect(other.buffer).not.toBe(held.buffer);
    bodyBuffers.giveBack(other.subarray(0, 5 * MiB));
    expect(bodyBuffers.take(3 * MiB).buffer).toBe(other.buffer);
    expect(bodyBuffers.take(3 * MiB).buffer).not.toBe(held.buffer);
  });

  it('has room for bodies of any size, and keeps none that came from elsewhere', () => {
    expect(bodyBuffers.take(20 * MiB).byteLength).toBe(20 * MiB);
    expect(bodyBuffers.take(100_000).byteLength).toBe(100_000);
    const small = Buffer.from('a small body');
    bodyBuffers.giveBack(small);
    expect(bodyBuffers.take(5 * MiB).byteLength).toBeGreaterThanOrEqual(5 * MiB);
    expect(small.toString()).toBe('a small body');
  });
});
