import { readFile } from 'node:fs/promises';
import { eventually, temporaryFolder } from '@aegis/testkit';
import { afterEach, expect, it } from 'vitest';
import { writeNpy, writeNpz } from '../../services/aggregator/src/store/memory/npy.ts';
import { fab } from '../../services/aggregator/src/testing/bundles.ts';
import { f4 } from '../../services/aggregator/src/testing/simulated-node.ts';
import { GuardedNodes } from './guarded-nodes.ts';
import { adds, WorkingNode } from './nodes.ts';
import { Suite } from './suite.ts';

// What guards say in their policy files, over the real wire, gateway, NATS and aggregator, until it decides a cohort.

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const initial = writeNpz([
  { name: 'w', npy: writeNpy(f4([3], [0, 10, 20])) },
  { name: 'b', npy: writeNpy(f4([1], [1])) },
]);
const bundle = fab({
  config: [
    'aegis.initial-model = "file:init.npz"\nnum-server-rounds = 1\nmin-available-nodes = 2\nfraction-evaluate = 0.0',
    'aegis.consent.purpose = "ecg"\naegis.consent.version = "2026-11"',
  ].join('\n'),
  extra: [{ name: 'init.npz', content: initial }],
});
const open = 'apps: ["*"]\nmetrics: ["*"]\n';
const agreeing = (version: string) => `${open}consent: [{ purpose: ecg, version: "${version}" }]\n`;

it('a run with a purpose asks the guards whose owners agreed to it, and nobody else', async () => {
  const folder = await temporaryFolder('consent');
  ends.push(() => folder.remove());
  const federation = await GuardedNodes.in(folder.path);
  const suite = await Suite.start({ federation });
  ends.push(() => suite.close());
  const guard = async (name: string, policy: string) => {
    const started = await federation.start(name, suite.target, policy, adds(1, 10));
    ends.push(() => started.end());
    const heard = async (event: string) => (await readFile(started.auditFile, 'utf8')).includes(`"${event}"`);
    return { ...started, heard };
  };
  const [ada, bob, old, silent] = await Promise.all([
    guard('ada', agreeing('2026-11')),
    guard('bob', agreeing('2026-11')),
    guard('old', agreeing('2025-01')),
    guard('silent', open),
  ]);
  const bare = new WorkingNode(suite.target, 'A', adds(1, 10));
  ends.push(() => bare.kill());
  await bare.start();
  for (const one of [ada, bob, old, silent])
    await eventually(async () => expect(await one.heard('consent-stated')).toBe(true));

  const first = await suite.finished(await suite.startRun(bundle));
  expect(first.consent).toEqual({ purpose: 'ecg', version: '2026-11' });
  expect(first.history.map(({ cohort, accepted }) => [cohort, accepted])).toEqual([[2, 2]]);
  for (const one of [ada, bob]) expect(await one.heard('offer-allowed')).toBe(true);
  for (const one of [old, silent]) expect(await one.heard('offer-allowed')).toBe(false);
  expect(bare.outcomes).toEqual([]);

  // bob takes the line out; another who was asked to read the new text has done so
  await bob.end();
  await old.end();
  const [bobAgain, oldAgain] = [await guard('bob', open), await guard('old', agreeing('2026-11'))];
  expect(bobAgain.nodeId).not.toBe(0n);
  const offers = async () => (await readFile(bobAgain.auditFile, 'utf8')).split('offer-allowed').length;
  const before = await offers();
  const stated = async () => (await readFile(bobAgain.auditFile, 'utf8')).split('"consent-stated"').length;
  await eventually(async () => expect(await stated()).toBe(3));
  const second = await suite.finished(await suite.startRun(bundle));
  expect(second.history.map(({ cohort, accepted }) => [cohort, accepted])).toEqual([[2, 2]]);
  expect(await offers()).toBe(before);
  await eventually(async () => expect(await oldAgain.heard('offer-allowed')).toBe(true));
});
