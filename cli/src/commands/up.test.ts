import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SuiteFacts } from '../suite/start-suite.ts';

// The command as a person runs it: a process of its own, with a real nats-server and a real port.

const bin = join(import.meta.dirname, '..', '..', 'bin', 'aegis.ts');
let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-up-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

function aegis(args: string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [bin, ...args], {
    env: { ...process.env, AEGIS_HOME: join(folder, 'state'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const text = { out: '', err: '' };
  child.stdout?.on('data', (piece) => {
    text.out += piece;
  });
  child.stderr?.on('data', (piece) => {
    text.err += piece;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...text }));
  return { child, text, ended };
}

async function up(...args: string[]) {
  const started = aegis(['up', '--json', '--port', '0', ...args]);
  const gone = started.ended.then((end) => {
    throw new Error(`aegis up ended: ${JSON.stringify(end)}`);
  });
  gone.catch(() => undefined);
  while (!started.text.out.includes('\n')) await Promise.race([sleep(20), gone]);
  const facts = JSON.parse(started.text.out) as SuiteFacts & { ready: boolean };
  return { ...started, facts };
}

const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function untilGone(pid: number): Promise<void> {
  while (isThere(pid)) await sleep(50);
}

describe('aegis up', () => {
  it('says in one line that it is ready, serves, and on SIGTERM leaves no process behind', async () => {
    const suite = await up('--enrolment', 'registered');
    expect(suite.facts).toMatchObject({
      ready: true,
      enrolment: 'registered',
      control: 'loopback',
      insecure: false,
      pid: suite.child.pid,
    });
    expect((await stat(suite.facts.tokenFile)).mode & 0o077).toBe(0);
    expect((await stat(suite.facts.state)).mode & 0o077).toBe(0);

    const listed = await aegis(['nodes', 'ls', '--json']).ended;
    expect(listed).toMatchObject({ code: 0, out: '[]\n', err: '' });
    const budgets = await aegis(['budget', 'ls', '--json']).ended;
    expect(JSON.parse(budgets.out)).toMatchObject({
      balances: [],
      defaults: [{ kind: 'run', epsilonBudget: 1 }, {}, {}],
    });
    const ledger = await aegis(['ledger', 'verify', '--json']).ended;
    expect(JSON.parse(ledger.out)).toMatchObject({ sound: true, entries: '4', anchored: '4' });
    const examined = await aegis(['doctor', '--json']).ended;
    expect(JSON.parse(examined.out)).toMatchObject({ ok: true });

    suite.child.kill('SIGTERM');
    expect(await suite.ended).toMatchObject({ code: 0, signal: null, err: '' });
    expect(suite.text.out.trimEnd().split('\n')).toHaveLength(1);
    expect(isThere(suite.facts.natsPid)).toBe(false);
  });

  it('goes on with the same state: authority, token and approved nodes', async () => {
    const first = await up('--enrolment', 'registered');
    const token = await readFile(first.facts.tokenFile, 'utf8');
    const authority = await readFile(first.facts.ca ?? '', 'utf8');
    const { createNodeKey } = await import('../demo/supernode.ts');
    const { systemRandom } = await import('@aegis/service-kit');
    const key = await createNodeKey(folder, 'ada', systemRandom);
    const unknown = await aegis(['doctor', '--node-key', key.privateFile, '--json']).ended;
    expect(JSON.parse(unknown.out).steps.at(-1)).toMatchObject({ name: 'node key', state: 'failed' });
    const approved = JSON.parse((await aegis(['nodes', 'approve', key.publicFile, '--json']).ended).out);
    expect((await aegis(['down']).ended).code).toBe(0);
    expect(await first.ended).toMatchObject({ code: 0 });

    const second = await up('--enrolment', 'registered');
    expect(await readFile(second.facts.tokenFile, 'utf8')).toBe(token);
    expect(await readFile(second.facts.ca ?? '', 'utf8')).toBe(authority);
    const nodes = JSON.parse((await aegis(['nodes', 'ls', '--json']).ended).out);
    expect(nodes).toMatchObject([{ nodeId: approved.nodeId, name: 'ada.key', state: 'registered' }]);
    const known = await aegis(['doctor', '--node-key', key.privateFile, '--json']).ended;
    expect(JSON.parse(known.out)).toMatchObject({ ok: true });
    second.child.kill('SIGINT');
    expect(await second.ended).toMatchObject({ code: 0 });
  });

  it('is refused in words while another one runs on the same state', async () => {
    const first = await up();
    const second = await aegis(['up', '--port', '0']).ended;
    expect(second).toMatchObject({ code: 1, out: '' });
    expect(second.err).toContain(`A suite is running in ${first.facts.state} already (process ${first.child.pid}`);
    expect((await aegis(['nodes', 'ls']).ended).code).toBe(0);
  });

  it('speaks plain text only when told to', async () => {
    const suite = await up('--insecure', '--control', 'off');
    expect(suite.facts).toMatchObject({ insecure: true, ca: null, control: 'off' });
    const listed = await fetch(`http://${suite.facts.address}/v1/control/list-nodes`, {
      method: 'POST',
      headers: { 'content-type': 'application/protobuf' },
    });
    expect([listed.status, await listed.text()]).toEqual([403, expect.stringContaining('CONTROL_NOT_HERE')]);
    expect((await aegis(['nodes', 'ls', '--json']).ended).out).toBe('[]\n');
    expect(JSON.parse((await aegis(['doctor', '--json']).ended).out)).toMatchObject({ ok: true });
  });

  it('killed hard takes its nats-server along, and the state is free for the next', async () => {
    const first = await up();
    first.child.kill('SIGKILL');
    await first.ended;
    await untilGone(first.facts.natsPid);
    const second = await up();
    second.child.kill('SIGTERM');
    expect((await second.ended).code).toBe(0);
  });

  it('ends at once on a second signal, and the nats-server ends too', async () => {
    const suite = await up();
    suite.child.kill('SIGTERM');
    suite.child.kill('SIGINT');
    await suite.ended;
    await untilGone(suite.facts.natsPid);
  });

  it('names a port that is in use, and leaves nothing behind', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const refused = await aegis(['up', '--port', String(port)]).ended;
    other.close();
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(new RegExp(`^aegis: Another program listens on 127\\.0\\.0\\.1:${port} already\\.\n`));
    const next = await up();
    expect(next.facts.ready).toBe(true);
  });

  it('names a missing nats-server and what to run, as JSON where JSON is wanted', async () => {
    const refused = await aegis(['up', '--json', '--port', '0'], { AEGIS_NATS_SERVER: '/nowhere/nats-server' }).ended;
    expect(refused).toMatchObject({ code: 1, out: '' });
    const { error } = JSON.parse(refused.err);
    expect(error).toMatchObject({ code: 'NATS_MISSING', message: expect.stringContaining('/nowhere/nats-server') });
    expect(error.todo).toContain('make setup');
  });

  it('names a state directory that cannot be written', async () => {
    await writeFile(join(folder, 'file'), '');
    const state = join(folder, 'file', 'state');
    const refused = await aegis(['up', '--port', '0', '--state', state]).ended;
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain(`The state directory ${state} is not writable.`);
  });

  it('ended while it starts leaves nothing behind', async () => {
    const starting = aegis(['up', '--json', '--port', '0']);
    while (!existsSync(join(folder, 'state', 'lock'))) await sleep(5);
    starting.child.kill('SIGTERM');
    expect(await starting.ended).toMatchObject({ code: 130, out: '' });
    expect((await aegis(['down', '--json']).ended).out).toBe('{"stopped":false}\n');
  });
});
