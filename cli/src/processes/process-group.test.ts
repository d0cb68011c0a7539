import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProcessGroup, signalGroup } from './process-group.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-group-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const output = () => join(folder, 'output');

function start(script: string): ProcessGroup {
  const file = openSync(output(), 'w');
  const group = new ProcessGroup('/bin/sh', ['-c', script], { env: process.env, cwd: folder, output: file });
  closeSync(file);
  return group;
}

async function untilSays(words: string): Promise<void> {
  while (!(await readFile(output(), 'utf8')).includes(words)) await sleep(10);
}

describe('a process group', () => {
  it('is asked to end by its leader alone, who can say goodbye', async () => {
    const group = start('trap "echo goodbye; exit 0" TERM; echo ready; while :; do sleep 0.05; done');
    await untilSays('ready');
    await group.end(5000);
    expect(await group.ended).toEqual({ code: 0, signal: null });
    expect(await readFile(output(), 'utf8')).toBe('ready\ngoodbye\n');
  });

  it('that does not end is made to, with everything it started', async () => {
    const group = start('trap "" TERM; sleep 600 & sleep 600 & echo ready; wait; wait; sleep 600');
    await untilSays('ready');
    expect(group.running).toBe(true);
    await group.end(200);
    expect(signalGroup(group.child.pid ?? 0, 0)).toBe(false);
    expect(group.running).toBe(false);
  });

  it('whose leader has ended is still emptied', async () => {
    const group = start('sleep 600 & echo ready');
    await untilSays('ready');
    await group.ended;
    expect(signalGroup(group.child.pid ?? 0, 0)).toBe(true);
    await group.end(1000);
    expect(signalGroup(group.child.pid ?? 0, 0)).toBe(false);
  });

  it('of a program that does not exist ends at once', async () => {
    const file = openSync(output(), 'w');
    const group = new ProcessGroup(join(folder, 'none'), [], { env: process.env, cwd: folder, output: file });
    closeSync(file);
    expect((await group.ended).code).toBe(127);
    await group.end(1000);
  });

  it('goes with the process that started it, even when that one is killed', async () => {
    const parent = join(folder, 'parent.ts');
    const module = join(import.meta.dirname, 'process-group.ts');
    await writeFile(
      parent,
      `import { ProcessGroup } from ${JSON.stringify(module)};
       const group = new ProcessGroup('/bin/sleep', ['600'], { env: process.env, cwd: '/', output: 2 });
       console.log(group.child.pid);
       setInterval(() => {}, 1000);`,
    );
    const child = spawn(process.execPath, [parent], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [pid] = await once(child.stdout, 'data');
    const leader = Number(String(pid));
    expect(signalGroup(leader, 0)).toBe(true);
    child.kill('SIGKILL');
    while (signalGroup(leader, 0)) await sleep(20);
  });
});
