// `aegis backup` and `aegis restore` as a person types them, on a suite of real processes.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StartRunRequest, StartRunResponse } from '@aegis/contracts/flwr/proto/control';
import { eventually, type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rawHttp, type Target } from '../../services/gateway/src/testing/wire-client.ts';
import { bundle, fleet, undisturbed } from './crash-app.ts';
import type { WorkingNode } from './nodes.ts';

const bin = join(import.meta.dirname, '../../cli/bin/aegis.ts');
const ROUNDS = 3;
/** What an operator keeps apart from backups. */
const KEYS = [
  'aggregator/keys/aggregator.key',
  'accountant/keys/ledger.key',
  'accountant/keys/statement.pem',
  'keys/unit.key',
  'keys/audit.key',
  'keys/rest.key',
];
let folder: TemporaryFolder;
let children: ChildProcess[] = [];
let nodes: WorkingNode[] = [];
beforeEach(async () => {
  folder = await temporaryFolder('backup');
});
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  for (const child of children) await ended(child, 'SIGKILL');
  nodes = [];
  children = [];
  await folder.remove();
});

const at = (name: string) => join(folder.path, name);
const ended = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
};
function start(args: string[]) {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const text = { out: '', err: '' };
  child.stdout?.on('data', (piece) => (text.out += piece));
  child.stderr?.on('data', (piece) => (text.err += piece));
  return { child, text, done: once(child, 'close').then(([code]) => ({ code: code as number, ...text })) };
}
const aegis = async (...args: string[]) => start([...args, '--json']).done;
const answer = async (...args: string[]) => {
  const { code, out, err } = await aegis(...args);
  if (code !== 0) throw new Error(`aegis ${args.join(' ')}: ${err}`);
  return JSON.parse(out);
};
const refusal = async (...args: string[]): Promise<{ code: string; message: string }> => {
  const { code, err, out } = await aegis(...args);
  if (code === 0) throw new Error(`aegis ${args.join(' ')} worked: ${out}`);
  return JSON.parse(err).error;
};
async function up(state: string, ...more: string[]): Promise<{ child: ChildProcess; target: Target }> {
  const { child, text } = start(['up', '--json', '--port', '0', '--insecure', '--state', at(state), ...more]);
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(text.err);
    return text.out.includes('\n');
  }, 60_000);
  const { port } = JSON.parse(text.out);
  return { child, target: { host: '127.0.0.1', port } };
}
async function startRun(target: Target, fab: Buffer): Promise<string> {
  const blank = StartRunRequest.decode(new Uint8Array());
  const body = StartRunRequest.encode({ ...blank, fab: { hashStr: '', content: fab, verifications: {} } }).finish();
  const headers = { 'content-type': 'application/protobuf', 'flwr-package-version': '1.41.0' };
  const sent = await rawHttp(target, undefined, { path: '/v1/control/start-run', body, headers });
  return String(StartRunResponse.decode(sent).runId);
}
const copyTo = async (state: string, paths: readonly string[], from = 'state'): Promise<void> => {
  for (const path of paths) {
    await mkdir(dirname(join(at(state), path)), { recursive: true, mode: 0o700 });
    await copyFile(join(at(from), path), join(at(state), path));
  }
};

describe('a backup', () => {
  it('of a suite at work goes on in an empty one, from its checkpoint, to the same bits', async () => {
    const expected = await undisturbed(ROUNDS);
    const first = await up('state');
    let held = false;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    nodes = await fleet([first.target], (app, i) => async (offer, received, node) => {
      if (i === 2 && nodes[2]?.outcomes.length === 1) {
        held = true;
        await released;
      }
      return app(offer, received, node);
    });
    const runId = await startRun(first.target, bundle(ROUNDS));
    await eventually(() => held, 60_000);
    const where = ['-o', at('backup'), '--key', at('backup.key')];
    const taken = await answer('backup', ...where, '--state', at('state'));
    expect(taken).toMatchObject({ openRuns: [runId], still: true });
    expect(await refusal('backup', ...where, '--state', at('state'))).toMatchObject({ code: 'BACKUP_EXISTS' });
    await ended(first.child, 'SIGKILL');
    release();
    await Promise.all(nodes.map((node) => node.kill()));

    // nothing of it can be read, and no plain key is in it
    const files = (await readdir(at('backup'), { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
    const secrets = await Promise.all(KEYS.map((path) => readFile(join(at('state'), path))));
    for (const file of files) {
      const content = await readFile(join(file.parentPath, file.name));
      for (const secret of [...secrets, Buffer.from(runId)])
        expect(content.includes(secret.subarray(0, 32))).toBe(false);
    }

    const restore = ['restore', at('backup'), '--key', at('backup.key'), '--state', at('new')];
    expect(await refusal(...restore)).toMatchObject({
      code: 'KEYS_NEEDED',
      message: expect.stringContaining('keys/unit.key is missing'),
    });
    await copyTo('new', KEYS);
    await writeFile(join(at('new'), 'keys/unit.key'), '00'.repeat(32));
    expect((await refusal(...restore)).message).toContain('keys/unit.key is another key');
    await copyTo('new', KEYS);
    expect(await answer(...restore)).toMatchObject({ openRuns: [runId] });
    expect(await refusal(...restore)).toMatchObject({ code: 'STATE_NOT_EMPTY' });

    const second = await up('new');
    nodes = await fleet([second.target]);
    const of = ['--state', at('new')];
    await eventually(async () => (await aegis('runs', 'takeover', runId, ...of)).code === 0, 60_000);
    const run = await eventually(async () => {
      const shown = await answer('runs', 'show', runId, ...of);
      return shown.status === 'finished' && shown;
    }, 60_000);
    expect(run).toMatchObject({ subStatus: 'completed', modelId: expected });
    await answer('audit', 'verify', ...of);
  }, 180_000);

  it('of an older ledger is refused by the anchor, in words, until the operator accepts what is lost', async () => {
    const first = await up('state');
    await answer('budget', 'set', 'dataset', 'mnist', '--epsilon', '3', '--state', at('state'));
    await answer('backup', '-o', at('backup'), '--key', at('backup.key'), '--state', at('state'));
    await answer('budget', 'set', 'dataset', 'mnist', '--epsilon', '2', '--state', at('state'));
    await ended(first.child, 'SIGTERM');
    await copyTo('new', [...KEYS, 'accountant/anchor']);
    await answer('restore', at('backup'), '--key', at('backup.key'), '--state', at('new'));

    const second = await up('new');
    const refused = await refusal('ledger', 'verify', '--state', at('new'));
    expect(refused).toMatchObject({
      code: 'LEDGER_NOT_SOUND',
      message: expect.stringContaining('put back to an older state'),
    });
    // the lease in the backup is somebody else's until it has stood still for its time
    await eventually(async () => {
      const { code } = await refusal('budget', 'set', 'dataset', 'x', '--epsilon', '9', '--state', at('new'));
      expect(code).toBe('PRIVACY_LEDGER_DAMAGED');
    }, 60_000);
    await ended(second.child, 'SIGTERM');
    const head = /its head is ([0-9a-f]{64})/.exec(refused.message)?.[1] ?? '';
    await up('new', '--accept-ledger', head);
    expect(await answer('ledger', 'verify', '--state', at('new'))).toMatchObject({ sound: true });
    const { balances } = await answer('budget', 'ls', '--state', at('new'));
    expect(balances).toMatchObject([{ epsilonBudget: 3 }]);
  }, 180_000);

  it('that was changed, is incomplete, or is opened with another key is refused before anything is written', async () => {
    const first = await up('state');
    await ended(first.child, 'SIGTERM');
    // of a suite that does not run
    await answer('backup', '-o', at('backup'), '--key', at('backup.key'), '--state', at('state'));
    await copyTo('new', KEYS);
    const restore = (key: string) => refusal('restore', at('backup'), '--key', at(key), '--state', at('new'));
    await writeFile(at('other.key'), Buffer.alloc(32, 1), { mode: 0o600 });
    expect(await restore('other.key')).toMatchObject({ code: 'KEY_NOT_OPENED' });
    expect(await restore('no.key')).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('missing'),
    });
    const manifest = await readFile(join(at('backup'), 'manifest'));
    manifest[100] = (manifest[100] ?? 0) ^ 1;
    await writeFile(join(at('backup'), 'manifest'), manifest);
    expect((await restore('backup.key')).message).toContain('manifest');
    expect(await readdir(at('new'))).not.toContain('nats');
  }, 120_000);
});
