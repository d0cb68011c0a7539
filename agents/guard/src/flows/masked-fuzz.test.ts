import { eventually } from '@aegis/testkit';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { STAGES, type Stage } from '../domain/masking.ts';
import type { ConfigEntry } from '../domain/task.ts';
import { Federation } from '../testing/federation.ts';
import { MaskedGuard, maskedTask, realModel } from '../testing/masked-guard.ts';
import { MaskedServer } from '../testing/masked-server.ts';
import { takeOffer } from './take-offer.ts';

const federation = await Federation.found();
const own = await federation.signing('ada');
const others = new Map(
  await Promise.all(
    ['1', '2', '3', '4'].map(async (node) => [node, await federation.signing(`peer-${node}`)] as const),
  ),
);
const model = await realModel({ w: [1, 2, 3], b: [0.5] });
const task = maskedTask(model);
const loss: ConfigEntry = { key: 'loss', value: { kind: 'real', value: 6 } };

const stage = fc.constantFrom<Exclude<Stage, 'advertise'>>('share', 'mask', 'confirm', 'unmask');
const json = fc.oneof(fc.jsonValue(), fc.constant(null), fc.constant([]), fc.constant({}));
/** Somewhere in the request, one value is another. */
const changes = fc.record({ path: fc.array(fc.nat(9), { minLength: 1, maxLength: 4 }), to: json });

const changed = (request: unknown, path: readonly number[], to: unknown): unknown => {
  const [at, ...rest] = path;
  if (at === undefined || typeof request !== 'object' || request === null) return to;
  const keys = Object.keys(request);
  const key = keys[at % Math.max(keys.length, 1)] ?? 'more';
  const inner = (request as Record<string, unknown>)[key];
  const next = changed(inner, rest, to);
  return Array.isArray(request)
    ? request.map((item, index) => (`${index}` === key ? next : item))
    : { ...request, [key]: next };
};

it('whatever a request is changed into, it is answered as it was meant, or refused by name and nothing more is said', async () => {
  await fc.assert(
    fc.asyncProperty(stage, changes, async (at, { path, to }) => {
      const server = new MaskedServer(others, model.bytes);
      server.peersGive = { tensors: [[0, 0, 0], [0]], metrics: [1] };
      server.tamper = { [at]: (request: unknown) => changed(request, path, to) };
      server.open(task);
      const node = await MaskedGuard.open(server, own);
      try {
        await takeOffer(node.guard, task);
        await node.answer(task, { w: [1.5, 2.5, 3.5], b: [1] }, [loss], 10);
        const over = await eventually(() => node.guard.journal.masked(task.taskId)?.over ?? false);
        const said = server.said.map(({ stage: one }) => one);
        if (over === 'done') {
          expect(said).toEqual([...STAGES]);
          return;
        }
        expect(over).toMatch(/^[A-Z_]+$/);
        expect(over).not.toBe('INTERNAL');
        expect(said).toEqual(STAGES.slice(0, STAGES.indexOf(at)));
        expect(server.opened).toEqual([]);
      } finally {
        await node.remove();
      }
    }),
    { numRuns: 40 },
  );
});
