// The accountant as a process of its own, on a real nats-server: killed between every two steps, it has everything that it ever said.
import { type ChildProcess, spawn } from 'node:child_process';
import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  LedgerOperatorService,
  LedgerReaderService,
  LedgerService,
  ReservationState,
  ScopeKind,
} from '@aegis/contracts/aegis/privacy/v1/privacy';
import { grpcChannel, type ServiceChannel } from '@aegis/service-kit';
import {
  eventually,
  freePort,
  startTestNats,
  type TemporaryFolder,
  type TestNats,
  temporaryFolder,
} from '@aegis/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { preAuthenticationEncoding } from './flows/statement.ts';
import { gaussian, policyOf, unit } from './testing/world.ts';

let nats: TestNats;
let folder: TemporaryFolder;
let port: number;
let metrics: number;
let child: ChildProcess | undefined;
let channel: ServiceChannel;
let output = '';

beforeEach(async () => {
  nats = await startTestNats();
  folder = await temporaryFolder('accountant-process');
  [port, metrics] = [await freePort(), await freePort()];
  channel = grpcChannel({ address: `127.0.0.1:${port}`, insecure: true });
});
afterEach(async () => {
  await end('SIGKILL');
  await channel.close();
  await nats.stop();
  await folder.remove();
});

const end = async (signal: NodeJS.Signals): Promise<number | null> => {
  const dying = child;
  child = undefined;
  if (dying === undefined || dying.exitCode !== null || dying.signalCode !== null) return dying?.exitCode ?? null;
  const exited = new Promise<number | null>((resolve) => dying.once('exit', (code) => resolve(code)));
  dying.kill(signal);
  return exited;
};

const spawnProcess = async (extra: Record<string, unknown> = {}): Promise<ChildProcess> => {
  const { url, credentials } = nats.server;
  const passwordFile = join(folder.path, 'password');
  await writeFile(passwordFile, credentials.password.reveal(), { mode: 0o600 });
  const config = {
    accountant: { 'state-dir': join(folder.path, 'state'), ...extra },
    listen: { address: `127.0.0.1:${port}`, insecure: true },
    nats: { servers: [url], user: credentials.user, 'password-file': passwordFile },
    metrics: { address: `127.0.0.1:${metrics}` },
  };
  const file = join(folder.path, 'config.yaml');
  await writeFile(file, JSON.stringify(config));
  const started = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  output = '';
  for (const stream of [started.stdout, started.stderr]) stream?.on('data', (piece: Buffer) => (output += piece));
  return started;
};

const start = async (): Promise<void> => {
  child = await spawnProcess();
  await eventually(async () => {
    if (child?.exitCode !== null) throw new Error(output);
    return channel.ready();
  });
};

const ledger = () => channel.client(LedgerService);
const operator = () => channel.client(LedgerOperatorService);
const reader = () => channel.client(LedgerReaderService);
const policy = { ...policyOf(7n), epsilon: 1, delta: 1e-5, schedule: [gaussian(20, 5)] };
const ask = (round: number) => ({
  key: `7/${round}/1/update`,
  policy,
  units: [1, 2, 3].map(unit),
  events: [gaussian(20)],
});
const reserve = async (round: number): Promise<string> => {
  const { outcome } = await ledger().reserve(ask(round));
  if (outcome?.$case !== 'granted') throw new Error(outcome?.value.detail);
  return outcome.value.reservationId;
};
const commit = async (reservationId: string, resultDigest: string) => {
  const { outcome } = await ledger().commit({
    reservationId,
    events: [],
    resultDigest,
    inTheClear: ['train-metrics: loss'],
  });
  expect(outcome).toMatchObject({ $case: 'committed', value: { state: ReservationState.COMMITTED } });
};
const epsilonOfRun = async (): Promise<number> => {
  const scope = { kind: ScopeKind.RUN, name: '7' };
  return (await reader().spent({ scopes: [scope] })).balances[0]?.epsilon ?? 0;
};

describe('the accountant process', () => {
  it('has everything after kill -9 between every two steps, and after kill -9 of NATS', async () => {
    await start();
    let spent = 0;
    const disturbed = async (): Promise<void> => {
      await end('SIGKILL');
      await start();
      const now = await epsilonOfRun();
      expect(now).toBeGreaterThanOrEqual(spent);
      spent = now;
    };
    const first = await reserve(1);
    await disturbed();
    expect(await reserve(1)).toBe(first);
    await commit(first, 'model-1');
    await disturbed();
    await commit(first, 'model-1');
    await expect(
      ledger().commit({ reservationId: first, events: [], resultDigest: 'model-2', inTheClear: [] }),
    ).rejects.toMatchObject({ code: 'PRIVACY_RESERVATION_COMMITTED' });
    const second = await reserve(2);
    await nats.kill();
    await nats.restart();
    expect(await eventually(() => reserve(2))).toBe(second);
    const reservation = await ledger().release({ reservationId: second, proof: 1, reason: 'nobody answered' });
    expect(reservation.reservation?.state).toBe(ReservationState.RELEASED);
    await end('SIGKILL');
    await start();
    await expect(
      ledger().commit({ reservationId: second, events: [], resultDigest: 'm', inTheClear: [] }),
    ).rejects.toMatchObject({ code: 'PRIVACY_RESERVATION_RELEASED' });
    expect(await operator().verify({})).toMatchObject({ sound: true, findings: [] });
    const { entries } = await operator().readEntries({ after: 0n, limit: 0, runId: 7n });
    expect(entries.map(({ content }) => JSON.parse(content).kind)).toEqual([
      'run',
      'reserved',
      'committed',
      'reserved',
      'released',
    ]);
    expect(await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text()).toContain('aegis_ledger_takings_total');
    expect(await end('SIGTERM'), output).toBe(0);
  }, 120_000);

  it('signs what it says of a model', async () => {
    await start();
    await commit(await reserve(1), 'model-1');
    await commit(await reserve(2), 'model-2');
    const { payload, signature, publicKey, keyId } = await reader().statement({ runId: 7n, modelId: 'model-1' });
    expect(verifySignature(null, preAuthenticationEncoding(payload), createPublicKey(publicKey), signature)).toBe(true);
    const said = JSON.parse(payload.toString());
    expect(said).toMatchObject({
      ...{
        run: '7',
        model: 'model-1',
        dataset: 'ward',
        covers: 'the model only',
        'in-the-clear': ['train-metrics: loss'],
      },
      guarantee: { unit: 'node', relation: 'add-or-remove-one', delta: 1e-5, composition: 'fixed-schedule' },
      events: [{ mechanism: 'gaussian', 'noise-multiplier': 20, count: 1 }],
      units: 3,
    });
    const ofRun = await epsilonOfRun();
    expect(said.guarantee.epsilon).toBeLessThan(ofRun);
    // whatever else the run will let out is in the ε of its schedule already
    expect(said.guarantee['epsilon-of-schedule']).toBeGreaterThan(ofRun);
    expect(keyId).toMatch(/^[0-9a-f]{64}$/);
    await expect(reader().statement({ runId: 8n, modelId: '' })).rejects.toMatchObject({
      code: 'PRIVACY_NOTHING_SPENT',
    });
  });

  it('grants nothing on storage that was put back, until the operator accepts it', async () => {
    await start();
    await reserve(1);
    await end('SIGKILL');
    await nats.kill();
    const copy = join(folder.path, 'older-store');
    await cp(nats.storeDir, copy, { recursive: true });
    await nats.restart();
    await start();
    await commit(await reserve(1), 'model-1');
    await end('SIGKILL');
    await nats.kill();
    await rm(nats.storeDir, { recursive: true });
    await cp(copy, nats.storeDir, { recursive: true });
    await nats.restart();

    child = await spawnProcess();
    const verdict = await eventually(() => operator().verify({}));
    expect(verdict.sound).toBe(false);
    expect(verdict.findings[0]).toContain('put back to an older state');
    await expect(reserve(2)).rejects.toMatchObject({ code: 'PRIVACY_LEDGER_DAMAGED' });
    await expect(epsilonOfRun()).rejects.toMatchObject({ code: 'PRIVACY_LEDGER_DAMAGED' });
    expect(await channel.ready()).toBe(false);
    await end('SIGKILL');

    child = await spawnProcess({ 'accept-head': verdict.head });
    await eventually(() => channel.ready());
    await reserve(2);
    await end('SIGKILL');
    await start();
    expect(await operator().verify({})).toMatchObject({ sound: true });
    const { entries } = await operator().readEntries({ after: 0n, limit: 0, runId: 0n });
    expect(entries.map(({ content }) => JSON.parse(content).kind)).toContain('accepted');
  }, 120_000);

  it('refuses a configuration with one clear line', async () => {
    const wrong = await spawnProcess({ colour: 'red' });
    // not 'exit', which may come before the last of what it said
    expect(await new Promise((resolve) => wrong.once('close', resolve))).toBe(2);
    expect(output).toContain('colour');
  });
});
