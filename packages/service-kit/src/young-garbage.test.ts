import { expect, it } from 'vitest';
import { passedBytes } from './young-garbage.ts';

it('keeps memory small while a gigabyte passes in Buffers that nobody keeps', () => {
  const pass = (): void => {
    const piece = Buffer.alloc(16 * 1024);
    passedBytes(piece.byteLength);
  };
  // The first time, the room for young objects is given back too.
  for (let piece = 0; piece < 1_024; piece += 1) pass();
  const before = process.memoryUsage().arrayBuffers;
  for (let piece = 0; piece < 64 * 1_024; piece += 1) pass();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
});
