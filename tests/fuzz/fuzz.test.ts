import { AegisError } from '@aegis/errors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { corpusOf } from './corpus.ts';
import { type Find, tryDoor } from './engine.ts';
import { FlowerPeer } from './peer.ts';
import { targets } from './targets/index.ts';

// The short pass: everything that was trouble once, and a few hundred new inputs a door. `make fuzz` goes on from there.

const INPUTS = 768;
let peer: FlowerPeer;
beforeAll(() => {
  peer = FlowerPeer.start();
}, 300_000);
afterAll(() => peer.close());

const told = ({ what, input }: Find): string => `${what} (${input.subarray(0, 60).toString('hex')})`;

describe.each(targets)('$name: $door', (target) => {
  it('refuses in words what it does not take, and takes nothing that its peer refuses', async () => {
    const corpus = corpusOf(target.name).map(({ bytes }) => bytes);
    const effort = { seed: 20261128, inputs: INPUTS, seconds: 600, questions: 400, guided: false };
    const { finds, inputs, taken, refused } = await tryDoor(target, corpus, effort, { peer });
    expect(finds.map(told)).toEqual([]);
    expect(inputs).toBeGreaterThanOrEqual(INPUTS);
    expect(taken + refused).toBe(inputs);
  }, 120_000);

  const known = corpusOf(target.name);
  if (known.length > 0)
    it('refuses what it took, or fell over, once', async () => {
      const door = await target.open();
      for (const { name, bytes } of known) {
        const refusal = await Promise.resolve()
          .then(() => door.try(bytes))
          .then(
            () => null,
            (error: unknown) => error,
          );
        expect([name, refusal]).toEqual([name, expect.any(AegisError)]);
      }
      await door.close?.();
    });
});
