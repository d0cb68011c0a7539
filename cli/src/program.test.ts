import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, verify } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelVersion, RunEvent, RunSummary } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import { AuditEntry, NodeRecord, OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { AegisError } from '@aegis/errors';
import { type GrpcServer, serveGrpc, serviceOf, silentLogger } from '@aegis/service-kit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { answerWithinMs, Operator } from './operator.ts';
import { identityOf } from './processes/process-identity.ts';
import { run } from './program.ts';
import { stateDirectory } from './state-directory.ts';
import { keeping } from './terminal.test-support.ts';

// The operator's door over a real gRPC connection, with a memory instead of a suite behind it.

const real = (key: string, value: number) => ({ key, value: { value: { $case: 'real' as const, value } } });
const largest = 2n ** 64n - 1n;
const round = (number: number, accuracy: number) => ({
  ...{ round: number, cohort: 5, accepted: 4, dropped: 1, evaluated: 4, seconds: 12.34, modelId: 'ab'.repeat(32) },
  trainMetrics: [real('loss', 0.5)],
  evaluateMetrics: [real('accuracy', accuracy), real('loss', 0.41)],
});
const runAt = (finished: number, status: string, subStatus = '') =>
  RunSummary.fromPartial({
    run: { runId: largest, appId: 'aegis/digits', appVersion: '1.0.0', status: { status, subStatus } },
    ...{ round: finished, rounds: 2, phase: 'training', runningAt: 1_800_000_000, finishedAt: 1_800_000_030 },
    history: [round(1, 0.8), round(2, 0.93)].slice(0, finished),
  });

const balance = {
  ...{
    scope: { kind: 2 as const, name: 'ward' },
    partition: 'east',
    epsilonBudget: 1,
    delta: 1e-5,
    epsilon: 0.60991,
    used: 0.5001,
  },
  ...{ composition: 'renyi-filter', method: 'rdp at order 25', reserved: 1n, committed: 4n },
};
let verdict = { sound: true, entries: 3n, head: 'a'.repeat(64), anchored: 3n, findings: [] as string[] };
const ledgerEntries = [
  { kind: 'run', policy: { runId: '7', dataset: 'ward', unit: 'node', schedule: null }, epsilon: 1, delta: 1e-5 },
  {
    ...{ kind: 'reserved', id: 'R1', key: '7/1/1/update', units: '0-4' },
    events: [['{"mechanism":"gaussian","noise-multiplier":1.5}', 2]],
  },
  { kind: 'unheard-of' },
].map((entry, at) => ({
  sequence: BigInt(at + 1),
  at: 1_800_000_000,
  hash: 'b'.repeat(64),
  content: JSON.stringify(entry),
}));

const invitation = (state: string) => ({
  ...{ id: 'abcd12345678', name: 'site-a', state, createdAt: 1_800_000_000, expiresAt: 1_800_086_400 },
  ...{ usedAt: 0, nodeId: 0n },
});

let server: GrpcServer;
let folder: string;
const asked: unknown[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aegis-program-'));
  const model = ModelVersion.fromPartial({ modelId: 'cd'.repeat(32), name: 'start', bytes: 1234n });
  const service = serviceOf(OperatorService, {
    listNodes: async () => ({
      nodes: [
        NodeRecord.fromPartial({
          ...{ nodeId: largest, name: 'ada', state: 'online', flwrVersion: '1.41.0' },
          ...{ masks: true, certificate: 'CN=ada,OU=guard,O=hospitals' },
        }),
      ],
    }),
    approveNode: async (request) => {
      asked.push({ name: request.name, publicKey: request.publicKey.toString() });
      return { nodeId: 7n };
    },
    inviteNode: async (request) => {
      asked.push(request);
      return { token: 'aegis-invite-A', invitation: invitation('open') };
    },
    listInvitations: async () => ({ invitations: [invitation('open'), { ...invitation('used'), nodeId: largest }] }),
    listConsents: async () => ({
      consents: [
        { nodeId: 7n, to: 'purpose:ecg', version: '2026-11', given: true, at: 1_800_000_000 },
        { nodeId: largest, to: 'run:9', version: '', given: false, at: 1_800_000_001 },
      ],
    }),
    revokeInvitation: async ({ id }) => {
      if (id !== 'abcd12345678') throw new AegisError('INVITATION_NOT_FOUND');
      return {};
    },
    signApp: async (request) => {
      asked.push(request);
      return {};
    },
    removeNode: async () => {
      throw new AegisError('NODE_NOT_FOUND', '7.');
    },
    listRuns: async (request) => {
      asked.push(request);
      const run = runAt(2, 'finished', 'completed');
      if (request.runId === 8n) {
        const none = { clip: 8, valueBits: 0, weightMax: 0n, metrics: [], dropouts: 0, colluders: 0 };
        return {
          runs: [{ ...run, masking: { ...none, limits: ['keys are not signed', 'metrics travel in the clear'] } }],
        };
      }
      if (request.runId !== 4n) return { runs: request.runId === 5n ? [] : [run] };
      const masking = {
        clip: 8,
        valueBits: 16,
        weightMax: 1n,
        metrics: ['loss'],
        dropouts: 0.2,
        colluders: 0.1,
        limits: [],
      };
      const history = run.history.map((item) => ({ ...item, masking: { shared: 5, delivered: 4, opened: 4 } }));
      return { runs: [{ ...run, masking, history }] };
    },
    watchRun: async function* ({ runId }) {
      yield RunEvent.fromPartial({ run: runAt(0, 'running'), nodes: [{ nodeId: 1n, state: 'waiting' }] });
      yield RunEvent.fromPartial({ run: runAt(1, 'running') });
      yield RunEvent.fromPartial({ run: runAt(2, 'finished', runId === 6n ? 'failed' : 'completed') });
    },
    stopRun: async () => {
      throw new AegisError('RUN_FINISHED');
    },
    takeOverRun: async ({ runId }) => {
      if (runId === 7n) throw new AegisError('RUN_OWNED', 'Run 7.');
      return {};
    },
    putPlan: async () => ({ modelId: '' }),
    listModels: async () => ({ models: [model] }),
    importModel: async ({ name, format, content }) => {
      asked.push({ name, format, bytes: content.length });
      return model;
    },
    exportModel: async function* (request) {
      asked.push(request);
      if (request.runId === 5n) throw new AegisError('MODEL_NOT_FOUND', 'run 5 round 9.');
      yield { fileName: '../../etc/passwd', content: Buffer.alloc(10_000, 1) };
      yield { fileName: '', content: Buffer.alloc(5, 2) };
    },
    setBudget: async ({ scope, epsilon, delta, addPartitions }) => {
      asked.push({ scope, epsilon, delta, addPartitions });
      if (epsilon < 0.5) throw new AegisError('PRIVACY_BUDGET_EDIT', 'epsilon 0.61 is spent already; 0.4 is less.');
      return { ...balance, epsilonBudget: epsilon, scope };
    },
    listBudgets: async ({ units }) => ({
      balances: units ? [balance, { ...balance, scope: { kind: 3, name: 'p'.repeat(32) } }] : [balance],
      defaults: [{ ...balance, scope: { kind: 1, name: '' }, epsilon: 0, used: 0, method: '' }],
    }),
    watchBudgets: async function* () {
      yield { balance, percent: 80, at: 1_800_000_000, detail: '80 % of the budget is used.' };
      yield { balance, percent: 100, at: 1_800_000_001, detail: 'Not one of these fits.' };
    },
    readAudit: async function* ({ after }) {
      const entry = { event: 'node-removed', at: 1_700_000_000_000, by: 'g1', actor: 'operator', trace: '' };
      for (const sequence of [1n, 2n])
        if (sequence > after)
          yield AuditEntry.fromPartial({
            ...entry,
            sequence,
            subject: `node ${sequence}`,
            hash: `${sequence}`.repeat(64),
          });
    },
    verifyLedger: async () => verdict,
    readLedger: async ({ after, limit, runId }) => {
      asked.push({ after, limit, runId });
      return after === 0n
        ? { entries: ledgerEntries.slice(0, 2), next: 2n }
        : { entries: ledgerEntries.slice(2), next: 0n };
    },
    privacyStatement: async () => {
      throw new AegisError('PRIVACY_NOTHING_SPENT', 'Run 7.');
    },
  });
  const callers = { 'aegis.operator.v1.Operator': [] };
  server = await serveGrpc({ address: '127.0.0.1:0', insecure: true, callers, services: [service], log: silentLogger });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked.length = 0;
});

async function aegis(...args: string[]) {
  const out = keeping();
  const err = keeping();
  const code = await run(args, {
    ...{ stdout: out.stream, stderr: err.stream, signal: new AbortController().signal },
    env: { AEGIS_HOME: join(folder, 'no-suite') },
  });
  return { code, out: out.text(), err: err.text() };
}
const there = () => ['--address', `127.0.0.1:${server.port}`, '--insecure'];

describe('aegis, for people', () => {
  it('invites a node: the token alone on stdout, and what to know about it beside', async () => {
    const { code, out, err } = await aegis('nodes', 'invite', '--name', 'site-a', '--expires', '7d', ...there());
    expect([code, out]).toEqual([0, 'aegis-invite-A\n']);
    expect(err).toContain('aegis nodes uninvite abcd12345678');
    expect(asked).toEqual([{ name: 'site-a', seconds: 7 * 86_400 }]);
    const json = JSON.parse((await aegis('nodes', 'invite', '--json', ...there())).out);
    expect(json).toMatchObject({ token: 'aegis-invite-A', id: 'abcd12345678', state: 'open', nodeId: null });
    expect(asked.at(-1)).toEqual({ name: '', seconds: 86_400 });
  });

  it.each(['24', '0h', '1.5h', '-1h', '1w', ''])('invites nobody for the time %j', async (time) => {
    expect((await aegis('nodes', 'invite', '--expires', time, ...there())).code).toBe(2);
    expect(asked).toEqual([]);
  });

  it('lists what nodes consent to', async () => {
    const { out } = await aegis('consent', 'ls', ...there());
    expect(out).toMatch(/7 +purpose:ecg +2026-11 +given/);
    expect(out).toMatch(/run:9 +withdrawn/);
    const { out: some } = await aegis('consent', 'ls', '--purpose', 'ecg', '--json', ...there());
    expect(JSON.parse(some)).toMatchObject([{ to: 'purpose:ecg', given: true, version: '2026-11' }]);
    const { out: none } = await aegis('consent', 'ls', '--run', '8', ...there());
    expect(none).toContain('Nodes say it themselves');
  });

  it('lists invitations, and takes one back', async () => {
    const { out } = await aegis('nodes', 'invitations', ...there());
    expect(out).toMatch(/^INVITATION +NAME +STATE +MADE +GOOD UNTIL +USED +NODE\n/);
    expect(out).toMatch(new RegExp(`abcd12345678 +site-a +used .*${largest}`));
    expect(await aegis('nodes', 'uninvite', 'abcd12345678', ...there())).toMatchObject({ code: 0 });
    expect(await aegis('nodes', 'uninvite', 'nobody', ...there())).toMatchObject({
      err: expect.stringContaining('There is no such invitation.'),
    });
  });

  it('lists runs with their last evaluation', async () => {
    const { code, out } = await aegis('runs', 'ls', ...there());
    expect(code).toBe(0);
    const [head, row] = out.split('\n');
    expect(head).toMatch(/^RUN +APP +STATUS +ROUND +STARTED +TOOK +LAST EVALUATION$/);
    expect(row).toContain(`${largest}  aegis/digits 1.0.0  finished:completed  2/2`);
    expect(row).toContain('30.0 s');
    expect(row).toContain('accuracy 0.9300, loss 0.4100');
  });

  it('shows one run with its rounds', async () => {
    const { out } = await aegis('runs', 'show', '9', ...there());
    expect(out).toContain('status    finished:completed');
    expect(out).toMatch(/\n2 +5 +4 +0 +1 +12\.3 s +loss 0\.5000 +accuracy 0\.9300, loss 0\.4100 +abababababab\n/);
  });

  it('says of a masked run what is opened, and by how many', async () => {
    const { code, out } = await aegis('runs', 'show', '4', ...there());
    expect(code).toBe(0);
    expect(out).toContain('masked    only sums are opened: 16 bits a value, clip 8, equal weights, metrics loss');
    expect(out).toContain('assumed   20 % drop out, 10 % work with the server');
    expect(out).toMatch(/\n2 +5 .*abababababab +5 shared keys, 4 delivered, opened by 4\n/);
  });

  it("says of a run under Flower's SecAgg+ what that does not protect against", async () => {
    const { code, out } = await aegis('runs', 'show', '8', ...there());
    expect(code).toBe(0);
    expect(out).toContain(
      "masked    by Flower's own SecAgg+, clip 8: against accidents, not against somebody who looks",
    );
    expect(out).toContain('weak      keys are not signed');
    expect(out).toContain('weak      metrics travel in the clear');
  });

  it('watches a run: one line per finished round', async () => {
    const { code, out } = await aegis('runs', 'watch', '9', ...there());
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'round 1/2  cohort 5  accepted 4  dropped 1  loss 0.4100  accuracy 0.800  12.3 s',
        'round 2/2  cohort 5  accepted 4  dropped 1  loss 0.4100  accuracy 0.930  12.3 s',
        'run 9 is finished:completed\n',
      ].join('\n'),
    );
  });

  it('watches the newest run when nobody says which', async () => {
    asked.length = 0;
    const { out } = await aegis('runs', 'watch', ...there());
    expect(asked[0]).toMatchObject({ limit: 1, runId: undefined });
    expect(out).toContain(`run ${largest} is finished:completed`);
  });

  it('ends with 1 when the watched run failed', async () => {
    const { code, err } = await aegis('runs', 'watch', '6', ...there());
    expect(code).toBe(1);
    expect(err).toContain('Run 6 is finished:failed.\n  See: aegis runs show 6');
  });

  it('names the error, what to do, and the exit code of its kind', async () => {
    const removed = await aegis('nodes', 'remove', '7', ...there());
    expect(removed).toEqual({ code: 5, out: '', err: 'aegis: There is no such node. 7.\n  See `aegis nodes ls`.\n' });
    expect((await aegis('runs', 'show', '5', ...there())).code).toBe(5);
    expect((await aegis('runs', 'stop', '7', ...there())).code).toBe(1);
    expect((await aegis('runs', 'takeover', '7', ...there())).code).toBe(1);
    expect((await aegis('runs', 'takeover', '8', ...there())).code).toBe(0);
  });

  it('says that nobody answers, and which command finds out why', async () => {
    const { code, err } = await aegis('runs', 'ls', '--address', '127.0.0.1:1', '--insecure');
    expect(code).toBe(3);
    expect(err).toMatch(/^aegis: 127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/);
    expect(err).toContain('aegis doctor 127.0.0.1:1');
  });

  it('says soon that a server accepts connections and answers nothing', async () => {
    const sockets: Socket[] = [];
    const frozen = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(frozen, 'listening');
    const { port } = frozen.address() as AddressInfo;
    const connection = { host: '127.0.0.1', port, ca: undefined, insecure: true, token: '' };
    const operator = new Operator(connection, new AbortController().signal);
    await expect(
      operator.call('listRuns', { limit: 1, skip: 0, runId: undefined }, { timeoutMs: 300 }),
    ).rejects.toMatchObject({
      code: 'NO_ANSWER',
      message: `127.0.0.1:${port} did not answer within 0.3 s.`,
      todo: expect.stringContaining('aegis doctor'),
      exitCode: 3,
    });
    expect(['listRuns', 'listNodes', 'listModels'].map(answerWithinMs)).toEqual([10_000, 10_000, 10_000]);
    operator.close();
    for (const socket of sockets) socket.destroy();
    frozen.close();
  });

  it('ends quietly, and well, when nobody reads its output any more', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../bin/aegis.ts'), 'runs', 'ls', ...there()]);
    child.stdout.destroy();
    let err = '';
    child.stderr.on('data', (piece) => {
      err += piece;
    });
    const [code] = await once(child, 'close');
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  it('shows the help of a command group, and ends with 2, when the command is missing', async () => {
    const { code, out, err } = await aegis('runs');
    expect(code).toBe(2);
    expect(out + err).toContain('watch');
  });
});

describe('aegis --json', () => {
  const oneValue = async (...args: string[]) => {
    const { code, out, err } = await aegis(...args, ...there(), '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.endsWith('\n')).toBe(true);
    expect(out.trimEnd()).not.toContain('\n');
    return JSON.parse(out);
  };

  it('prints exactly one value for every command', async () => {
    expect(await oneValue('runs', 'ls')).toHaveLength(1);
    expect(await oneValue('runs', 'show', '9')).toMatchObject({
      runId: largest.toString(),
      subStatus: 'completed',
      runningAt: '2027-01-15T08:00:00.000Z',
      history: [{ round: 1 }, { round: 2, evaluateMetrics: { accuracy: 0.93, loss: 0.41 } }],
    });
    expect(await oneValue('runs', 'watch', '9')).toMatchObject({ round: 2 });
    expect(await oneValue('nodes', 'ls')).toMatchObject([
      {
        ...{ nodeId: largest.toString(), name: 'ada', lastSeenAt: null },
        ...{ masks: true, certificate: 'CN=ada,OU=guard,O=hospitals' },
      },
    ]);
    expect(await oneValue('models', 'ls')).toMatchObject([{ name: 'start', bytes: '1234', runId: null }]);
  });

  it('prints errors as one value on stderr and nothing on stdout', async () => {
    const { code, out, err } = await aegis('nodes', 'remove', '7', ...there(), '--json');
    expect({ code, out }).toEqual({ code: 5, out: '' });
    expect(JSON.parse(err)).toEqual({
      error: { code: 'NODE_NOT_FOUND', message: 'There is no such node. 7.', todo: 'See `aegis nodes ls`.' },
    });
  });

  it('prints usage errors in the same form', async () => {
    for (const wrong of [
      ['runs', 'show', 'x'],
      ['runs', 'show'],
      ['nonsense'],
      ['runs', 'ls', '--limit', '0'],
      ['up', '--port', '99999'],
    ]) {
      const { code, out, err } = await aegis(...wrong, '--json');
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(JSON.parse(err).error.code).toBe('USAGE');
    }
  });
});

describe('aegis budget', () => {
  it('lists what is spent, and the defaults', async () => {
    const { out } = await aegis('budget', 'ls', ...there());
    expect(out).toMatch(/^KIND +NAME +EPSILON +OF +DELTA +USED +RESERVED +COMMITTED +BY\n/);
    expect(out).toMatch(/\ndataset +ward \/ east +0\.61 +1 +0\.00001 +50\.1 % +1 +4 +renyi-filter, rdp at order 25\n/);
    expect(out).toMatch(/\nrun +\(default\) +0 +1 /);
    const { out: json } = await aegis('budget', 'ls', '--units', ...there(), '--json');
    expect(JSON.parse(json).balances.map(({ kind }: { kind: string }) => kind)).toEqual(['dataset', 'unit']);
  });

  it('sets one, a default, and declares partitions', async () => {
    const set = await aegis(
      'budget',
      'set',
      'dataset',
      'ward',
      '--epsilon',
      '2',
      '--partition',
      'east',
      '--partition',
      'west',
      ...there(),
    );
    expect(set.out).toBe('dataset ward / east: epsilon 0.61 of 2 at delta 0.00001 (50.1 % used)\n');
    await aegis('budget', 'set', 'unit', '--epsilon', '3', '--delta', '1e-6', ...there());
    expect(asked).toEqual([
      { scope: { kind: 2, name: 'ward' }, epsilon: 2, delta: 0, addPartitions: ['east', 'west'] },
      { scope: { kind: 3, name: '' }, epsilon: 3, delta: 1e-6, addPartitions: [] },
    ]);
  });

  it('refuses what is no budget before anything is sent, and says what the ledger refuses', async () => {
    for (const wrong of [
      ['example', '--epsilon', '1'],
      ['run', '--epsilon', '0'],
      ['run', '--epsilon', 'NaN'],
      ['run', '--epsilon', '1', '--delta', '-1'],
      ['run'],
    ])
      expect((await aegis('budget', 'set', ...wrong, ...there())).code).toBe(2);
    expect(asked).toEqual([]);
    const { code, err } = await aegis('budget', 'set', 'unit', '--epsilon', '0.4', ...there());
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining('0.61 is spent already') });
  });

  it('watches thresholds and refusals', async () => {
    const { out } = await aegis('budget', 'watch', ...there());
    expect(out.split('\n').map((line) => line.slice(0, 7))).toEqual(['80 %  d', 'refused', '  Not o', '']);
  });
});

describe('aegis ledger', () => {
  it('shows every entry, page after page, also of kinds it does not know', async () => {
    const { out } = await aegis('ledger', 'show', '--run', '7', ...there());
    expect(out).toContain('run 7 on ward, per node, adaptive: epsilon 1 at delta 0.00001');
    expect(out).toContain('7/1/1/update as R1: 2 × gaussian 1.5, units 0-4');
    expect(out).toContain('unheard-of');
    expect(asked.map((query) => (query as { after: bigint }).after)).toEqual([0n, 2n]);
    expect(JSON.parse((await aegis('ledger', 'show', ...there(), '--json')).out)).toHaveLength(3);
  });

  it('verifies, and ends with 1 when something is wrong', async () => {
    const { code, out } = await aegis('ledger', 'verify', ...there());
    expect({ code, out }).toEqual({ code: 0, out: `sound: 3 entries, 3 of them anchored\nhead   ${'a'.repeat(64)}\n` });
    verdict = { ...verdict, sound: false, findings: ['Page 2 was not written with this key, or was changed.'] };
    const broken = await aegis('ledger', 'verify', ...there());
    expect(broken.code).toBe(1);
    expect(broken.err).toContain('Page 2 was not written with this key');
    expect(broken.err).toContain('docs/operations.md');
  });
});

describe('the audit log', () => {
  it('is shown, of one kind or all, and exported as lines', async () => {
    const { code, out } = await aegis('audit', 'show', ...there(), '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ event: 'node-removed', subject: 'node 1' }, { subject: 'node 2' }]);
    expect(JSON.parse((await aegis('audit', 'show', ...there(), '--json', '--last', '1')).out)).toHaveLength(1);
    expect((await aegis('audit', 'show', ...there(), '--event', 'run-started')).out).toContain('Nothing is written');
    const file = join(folder, 'audit.jsonl');
    expect((await aegis('audit', 'show', ...there(), '-o', file)).out).toContain('2 entries');
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).sequence)).toEqual(['1', '2']);
  });

  it('is verified against an entry that was kept', async () => {
    const kept = `2:${'2'.repeat(64)}`;
    expect((await aegis('audit', 'verify', ...there())).out).toContain(`--expect ${kept}`);
    expect((await aegis('audit', 'verify', ...there(), '--expect', kept)).code).toBe(0);
    const cut = await aegis('audit', 'verify', ...there(), '--expect', `3:${'3'.repeat(64)}`);
    expect([cut.code, cut.err]).toEqual([1, expect.stringContaining('2 are left')]);
    expect((await aegis('audit', 'verify', ...there(), '--expect', 'two')).code).toBe(2);
  });
});

describe('ids', () => {
  for (const id of ['0', '-1', '1.5', '18446744073709551616', '0x10', '']) {
    it(`"${id}" is refused before anything is sent`, async () => {
      expect((await aegis('runs', 'stop', ...there(), '--', id)).code).toBe(2);
      expect(asked).toEqual([]);
    });
  }
});

describe('aegis nodes ls', () => {
  it('says who masks, and whose certificate a node came with', async () => {
    const { out } = await aegis('nodes', 'ls', ...there());
    const [head, row] = out.split('\n');
    for (const [name, value] of [
      ['MASKS', 'yes'],
      ['CERTIFICATE', 'CN=ada,OU=guard,O=hospitals'],
    ] as const)
      expect(row?.slice(head?.indexOf(name)).startsWith(value)).toBe(true);
  });
});

describe('aegis nodes approve', () => {
  it('sends the public key, named after its file', async () => {
    const file = join(folder, 'ada.pub');
    await writeFile(file, 'ecdsa-sha2-nistp384 AAAA ada\n');
    expect((await aegis('nodes', 'approve', file, ...there())).out).toBe('node 7 (ada) may come\n');
    expect(asked).toEqual([{ name: 'ada', publicKey: 'ecdsa-sha2-nistp384 AAAA ada\n' }]);
  });

  it('never sends a private key', async () => {
    const file = join(folder, 'ada.key');
    await writeFile(file, '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n');
    const { code, err } = await aegis('nodes', 'approve', file, ...there());
    expect(code).toBe(1);
    expect(err).toContain('it never leaves the node');
    expect(asked).toEqual([]);
  });
});

describe('aegis app sign', () => {
  it('hands in a signature of the very bytes, and shows the line for those who trust the key', async () => {
    const [fab, key] = [join(folder, 'app.fab'), join(folder, 'board.key')];
    await writeFile(fab, 'PK the bundle');
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const { code, out } = await aegis('app', 'sign', fab, '--key', key, '--id', 'board', ...there());
    expect(code).toBe(0);
    expect(out).toMatch(/board: "ssh-ed25519 AAAA/);
    const [request] = asked as [{ appHash: string; keyId: string; verification: string }];
    const digest = createHash('sha256').update('PK the bundle').digest();
    expect(request).toMatchObject({ appHash: digest.toString('hex'), keyId: 'board' });
    const { signed_at: at, signature } = JSON.parse(request.verification);
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(at));
    expect(verify(null, Buffer.concat([time, digest]), publicKey, Buffer.from(signature, 'base64url'))).toBe(true);
  });

  it.each([
    ['what is no bundle', 'zip?', 0o600, /flwr build/],
    ['with a key that others may read', 'PK', 0o644, /chmod 600/],
  ])('does not sign %s', async (_name, content, mode, todo) => {
    const [fab, key] = [join(folder, 'bad.fab'), join(folder, `bad-${mode}.key`)];
    await writeFile(fab, content);
    const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
    await writeFile(key, pem, { mode });
    const { code, err } = await aegis('app', 'sign', fab, '--key', key, '--id', 'board', ...there());
    expect(code).toBe(1);
    expect(err).toMatch(todo);
    expect(asked).toEqual([]);
  });
});

describe('aegis models', () => {
  it('imports by the ending of the file name', async () => {
    const file = join(folder, 'start.safetensors');
    await writeFile(file, Buffer.alloc(12));
    expect((await aegis('models', 'import', file, ...there())).code).toBe(0);
    expect(asked).toEqual([{ name: 'start', format: 'safetensors', bytes: 12 }]);
    expect((await aegis('models', 'import', join(folder, 'start.bin'), ...there())).code).toBe(2);
  });

  it('exports to the given file, whole', async () => {
    const file = join(folder, 'out.npz');
    const { code, out } = await aegis(
      'models',
      'export',
      '--run',
      '9',
      '--round',
      '2',
      '-o',
      file,
      ...there(),
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ file, bytes: 10_005 });
    expect((await readFile(file)).subarray(-6)).toEqual(Buffer.from([1, 2, 2, 2, 2, 2]));
    expect(asked).toEqual([{ modelId: '', runId: 9n, round: 2, format: 'npz' }]);
  });

  it('leaves nothing behind when the export fails', async () => {
    const target = await mkdtemp(join(folder, 'export-'));
    const { code } = await aegis('models', 'export', '--run', '5', '-o', join(target, 'out.npz'), ...there());
    expect(code).toBe(5);
    expect(await readdir(target)).toEqual([]);
  });

  it('finds a model by its name or the beginning of its id', async () => {
    for (const word of ['start', 'cdcd', 'cd'.repeat(32)]) {
      asked.length = 0;
      expect((await aegis('models', 'export', word, '-o', join(folder, 'found.npz'), ...there())).code).toBe(0);
      expect(asked).toEqual([{ modelId: 'cd'.repeat(32), runId: 0n, round: 0, format: 'npz' }]);
    }
    expect((await aegis('models', 'export', 'nobody', ...there())).code).toBe(5);
  });

  it('wants either a model or a run', async () => {
    expect((await aegis('models', 'export', ...there())).code).toBe(2);
    expect((await aegis('models', 'export', 'abc', '--run', '9', ...there())).code).toBe(2);
  });
});

describe('aegis certs and aegis down', () => {
  it('say whom they wait for, and how to force one that does not end', async () => {
    const state = join(folder, 'stubborn');
    await mkdir(state);
    const stubborn = spawn(process.execPath, [
      '-e',
      'process.on("SIGTERM", () => {}); console.log(1); setInterval(() => {}, 1e6)',
    ]);
    try {
      await once(stubborn.stdout, 'data');
      const pid = stubborn.pid as number;
      await writeFile(stateDirectory(state).lock, JSON.stringify(identityOf(pid)));
      const { code, err } = await aegis('down', '--state', state, '--timeout', '1');
      expect(code).toBe(1);
      expect(err).toContain(`waiting for process ${pid} to end\n`);
      expect(err).toContain(`Process ${pid} did not end within 1 s.`);
      expect(err).toContain(`kill -9 ${pid}`);
    } finally {
      stubborn.kill('SIGKILL');
    }
  });

  it('write the PKI of a state directory, and find no suite to stop there', async () => {
    const state = join(folder, 'state');
    const first = JSON.parse((await aegis('certs', '--state', state, '--san', 'gw.example', '--json')).out);
    expect(first).toMatchObject({ issued: true, hosts: expect.arrayContaining(['localhost', 'gw.example']) });
    expect(JSON.parse((await aegis('certs', '--state', state, '--json')).out)).toMatchObject({ issued: false });
    expect((await aegis('down', '--state', state)).out).toContain('No suite is running');
  });
});
