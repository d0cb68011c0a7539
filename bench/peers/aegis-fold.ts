// The fold as the aggregator runs it: updates checked, then added from the sealed intake log. Arguments: FOLDER OUT.
import { randomFillSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Fold, IntakeLog, KeyFile, type TensorSource, type TensorSpec } from '@aegis/core-native';

const UPDATES = 5;
const PASSES = 4;
const SIZES = [4_500_000, 4_500_000, 900_000, 100_000];
const CHUNK = 5_242_880;

const [folder = '.', out = 'fold.json'] = process.argv.slice(2);
const { key } = KeyFile.open(join(folder, 'fold.key'), { create: true }).generate('bench');
const log = await IntakeLog.open(join(folder, 'fold-log'), key);
const specs: TensorSpec[] = SIZES.map((size, index) => ({ name: `layer${index}`, dtype: '<f4', shape: [size] }));

function npy(size: number): Buffer {
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': (${size},), }`;
  const head = Buffer.from(`\x93NUMPY\x01\x00\x76\x00${dictionary.padEnd(117)}\n`, 'latin1');
  const bytes = randomFillSync(new Uint16Array(65_536));
  const values = Float32Array.from({ length: size }, (_, index) => ((bytes[index & 65_535] as number) - 32_768) * 1e-6);
  return Buffer.concat([head, Buffer.from(values.buffer)]);
}

async function store(update: number): Promise<TensorSource[]> {
  const sources: TensorSource[] = [];
  for (const { name, shape } of specs) {
    const file = npy(shape[0] as number);
    const slices = [];
    for (let at = 0; at < file.length; at += CHUNK) {
      const part = `${update}-${name}-${at}`;
      const piece = file.subarray(at, at + CHUNK);
      await log.append('part', part, [piece]);
      slices.push({ part, offset: 0, length: piece.length });
    }
    sources.push({ name, slices });
  }
  return sources;
}

async function timed(work: () => Promise<void>): Promise<{ cpu: number; wall: number }> {
  const before = process.cpuUsage();
  const begin = performance.now();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1e6, wall: (performance.now() - begin) / 1_000 };
}

const updates: TensorSource[][] = [];
for (let update = 0; update < UPDATES; update += 1) updates.push(await store(update));

// Warm: sums allocated and touched once.
const fold = Fold.create(specs);
for (const update of updates) {
  await fold.check(log, update);
  await fold.add(log, update, 20);
}
const adding = await timed(async () => {
  for (let pass = 0; pass < PASSES; pass += 1) {
    for (const [index, update] of updates.entries()) await fold.add(log, update, 20 + index);
  }
});
const checking = await timed(async () => {
  for (const update of updates) await fold.check(log, update);
});
await log.close();

/** GB per core-second read and written: a plain copy between buffers beyond any cache's share of it. */
function copyRate(): number {
  const source = Buffer.alloc(256 * 2 ** 20, 1);
  const target = Buffer.alloc(source.length, 2);
  const before = process.cpuUsage();
  for (let pass = 0; pass < 4; pass += 1) source.copy(target);
  const { user, system } = process.cpuUsage(before);
  return (4 * 2 * source.length) / 1e3 / (user + system);
}

const updateBytes = SIZES.reduce((sum, size) => sum + 4 * size, 0);
const gigabytes = (PASSES * UPDATES * updateBytes) / 1e9;
const checkRate = (UPDATES * updateBytes) / 1e9 / checking.cpu;
// A fold reads the input once and reads and writes 16 bytes of sums for each 4 bytes of it.
const bandwidth = ((gigabytes / adding.cpu) * 9) / copyRate();
const detail = `Aegis core, read and opened from the sealed log, order-independent; the check before it runs at ${checkRate.toFixed(2)} GB per core-second; memory traffic at ${(100 * bandwidth).toFixed(0)} % of a plain copy's`;
await writeFile(out, JSON.stringify({ gigabytes, cpuSeconds: adding.cpu, wallSeconds: adding.wall, detail }));
