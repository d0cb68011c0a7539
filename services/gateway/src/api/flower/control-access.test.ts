import type { ControlCaller } from '@aegis/flower-wire';
import { createLogger } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import type { ControlRules } from '../../domain/control-access.ts';
import { memoryGateway } from '../../testing/memory-gateway.ts';
import { NodeKey } from '../../testing/node-key.ts';
import { FlowerControl } from './control.ts';

const [HERE, THERE] = ['127.0.0.1', '192.0.2.7'];
const refused = expect.objectContaining({ code: 'CONTROL_NOT_HERE' });

const scene = async (rules: ControlRules) => {
  const { gateway, node } = await memoryGateway();
  const log: Record<string, unknown>[] = [];
  const runs = { ...gateway.runs, listRuns: async () => [], stopRun: async () => {}, watchLog: async function* () {} };
  const control = new FlowerControl({
    ...gateway,
    runs: runs as unknown as typeof gateway.runs,
    settings: { ...gateway.settings, ...rules },
    log: createLogger({ name: 'test', destination: { write: (line: string) => log.push(JSON.parse(line)) } }),
  });
  const from = (peer: string): ControlCaller => ({
    ...{ dialect: 'http', flwrVersion: '', token: '', refreshToken: '', connection: {}, peer },
    renewed: () => expect.fail('nobody logged in'),
  });
  return { control, log, node, here: from(HERE), there: from(THERE) };
};
const key = () => new NodeKey().publicKeyPem;
const labels = { name: 'ada', location: '' };

describe("Flower's Control API", () => {
  it('approves and removes nodes for this machine only, and writes down for whom', async () => {
    for (const rules of [
      { control: 'loopback', enrolment: 'registered' },
      { control: 'loopback', enrolment: 'open' },
      { control: 'open', enrolment: 'registered' },
    ] as const) {
      const { control, log, here, there, node } = await scene(rules);
      await expect(control.registerNode(there, key(), labels)).rejects.toThrow(refused);
      await expect(control.unregisterNode(there, node.nodeId)).rejects.toThrow(refused);
      await expect(control.listNodes(there)).rejects.toThrow(refused);
      expect(await control.listNodes(here)).toMatchObject([{ nodeId: node.nodeId }]);
      const nodeId = await control.registerNode(here, key(), labels);
      await control.unregisterNode(here, nodeId);
      const written = log.filter(({ peer }) => peer === HERE).map(({ msg }) => msg);
      expect(written).toEqual(['node approved through the Control API', 'node removed through the Control API']);
    }
  });

  it('opened while nodes need approval: runs for everybody, nodes shown to this machine only', async () => {
    const { control, here, there } = await scene({ control: 'open', enrolment: 'registered' });
    expect(await control.stopRun(there, 9n)).toBe(true);
    const signal = new AbortController().signal;
    await control.streamLogs(there, 9n, 0, signal);
    for (const listed of [
      await control.showFederation(there, '@none/default'),
      ...(await control.listFederations(there)),
    ])
      expect(listed.nodes).toEqual([]);
    expect((await control.showFederation(here, '@none/default')).nodes).toHaveLength(1);
  });

  it('has nothing to log in at', async () => {
    const { control, here } = await scene({ control: 'open', enrolment: 'open' });
    const unused = expect.objectContaining({ code: 'ACCOUNTS_NOT_USED' });
    await expect(control.beginLogin()).rejects.toThrow(unused);
    await expect(control.collectTokens(here, 'code')).rejects.toThrow(unused);
    await expect(control.refreshTokens(here, 'token')).rejects.toThrow(unused);
  });

  it('opened to everybody, with open enrolment, has no secrets', async () => {
    const { control, there } = await scene({ control: 'open', enrolment: 'open' });
    expect((await control.showFederation(there, '@none/default')).nodes).toHaveLength(1);
    await control.unregisterNode(there, await control.registerNode(there, key(), labels));
  });

  it('does nothing for whom it is not served to', async () => {
    const rules = { enrolment: 'open' } as const;
    const cases = [
      [await scene({ control: 'loopback', ...rules }), 'there', /this machine only: .* set control: open/],
      [await scene({ control: 'off', ...rules }), 'here', /switched off/],
    ] as const;
    for (const [{ control, ...callers }, who, words] of cases) {
      const c = callers[who];
      const start = { fab: Buffer.from('x'), fabHash: '', overrides: [], federation: '', appSpec: '', seriesId: null };
      const calls = [
        () => control.startRun(c, start),
        () => control.stopRun(c, 9n),
        () => control.listRuns(c, { runId: null, limit: 0, skip: 0 }),
        () => control.streamLogs(c, 9n, 0, new AbortController().signal),
        () => control.listNodes(c),
        () => control.registerNode(c, key(), labels),
        () => control.unregisterNode(c, 1n),
        () => control.listFederations(c),
        () => control.showFederation(c, '@none/default'),
      ];
      for (const call of calls) {
        await expect(call()).rejects.toThrow(refused);
        await expect(call()).rejects.toThrow(words);
      }
    }
  });
});
