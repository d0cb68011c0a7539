import { recordingTelemetry, withNats } from '@aegis/testkit';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';

const never = new AbortController().signal;

describe('run log', () => {
  const nats = withNats();

  it('reads what a run wrote, in order, and ends there', async () => {
    const bus = await nats().connect();
    for (const text of ['one', 'two', 'three']) await bus.appendRunLog(1n, text);
    await bus.appendRunLog(2n, 'of another run');
    const lines = await Array.fromAsync(bus.readRunLog(1n, 0, false, never));
    expect(lines.map((line) => line.text)).toEqual(['one', 'two', 'three']);
  });

  it('goes on after the time of the last line read', async () => {
    const bus = await nats().connect();
    for (const text of ['a', 'b']) await bus.appendRunLog(3n, text);
    const [first, second] = await Array.fromAsync(bus.readRunLog(3n, 0, false, never));
    const after = await Array.fromAsync(bus.readRunLog(3n, first?.at ?? 0, false, never));
    expect(after).toEqual([second]);
    expect(await Array.fromAsync(bus.readRunLog(3n, second?.at ?? 0, false, never))).toEqual([]);
  });

  it('is empty for a run that wrote nothing', async () => {
    const bus = await nats().connect();
    expect(await Array.fromAsync(bus.readRunLog(404n, 0, false, never))).toEqual([]);
  });

  it('takes run ids of the full 64-bit range and lines of any length', async () => {
    const bus = await nats().connect();
    const runId = 2n ** 64n - 1n;
    await bus.appendRunLog(runId, 'x'.repeat(100_000));
    const [line] = await Array.fromAsync(bus.readRunLog(runId, 0, false, never));
    expect(line?.text).toMatch(/^x+$/);
  });
});

describe('the stream of run logs', () => {
  const nats = withNats();

  it('sets no disk space aside, also when an earlier release did', async () => {
    const { url, credentials } = nats().server;
    const other = await connect({ servers: url, user: credentials.user, pass: credentials.password.reveal() });
    const manager = await jetstreamManager(other);
    await manager.streams.add({ name: 'aegis-run-logs', subjects: ['aegis.run-log.*'], max_bytes: 64 * 2 ** 20 });
    const bus = await nats().connect();
    await bus.appendRunLog(1n, 'line');
    const { config } = await manager.streams.info('aegis-run-logs');
    expect(config.max_bytes).toBe(-1);
    expect(config.max_msgs).toBeGreaterThan(0);
    expect((await manager.getAccountInfo()).reserved_storage ?? 0).toBeLessThan(2 ** 20);
    await other.close();
  });
});

describe('events', () => {
  const nats = withNats();

  it('carry the active trace to their subscribers', async () => {
    const { telemetry } = recordingTelemetry();
    const bus = await nats().connect({ telemetry });
    const stop = new AbortController();
    const events = await bus.subscribe('task-confirmed', stop.signal);
    const sent = await telemetry.inSpan('confirm', {}, async (span) => {
      bus.publish('task-confirmed', { taskId: 't', runId: 1n, nodeId: 2n });
      return telemetry.traceparent(span);
    });
    for await (const event of events) {
      expect(event).toEqual({ message: { taskId: 't', runId: 1n, nodeId: 2n }, traceparent: sent });
      stop.abort();
    }
  });

  it('put bucket writes into the trace they belong to', async () => {
    const { telemetry, trees } = recordingTelemetry();
    const runs = await (await nats().connect({ telemetry })).bucket('runs');
    await runs.put('untraced', Buffer.from('1'));
    await telemetry.inSpan('round', {}, () => runs.put('traced', Buffer.from('1')));
    expect(trees()).toMatchObject([
      { name: 'round', children: [{ name: 'bus put runs', attributes: { 'aegis.key': 'traced' }, children: [] }] },
    ]);
  });
});
