import { silentLogger } from '@aegis/service-kit';
import { FakeClock } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { reservedArgument, superviseSuperNode } from './supernode.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A supervisor on a clock that stands still; `ends` are told by the test. */
const supervised = (env: NodeJS.ProcessEnv = {}) => {
  const clock = new FakeClock();
  const stopping = new AbortController();
  const started: { command: string; args: readonly string[]; env: NodeJS.ProcessEnv }[] = [];
  const asked: number[] = [];
  const said: string[] = [];
  let begun = 0;
  let endNow: (code: number | null) => void = () => {};
  const exit = superviseSuperNode({
    ...{ command: ['flower-supernode', '--node-config', 'partition-id=0'], port: 1234, env, clock, log: silentLogger },
    signal: stopping.signal,
    onStart: () => {
      begun += 1;
    },
    say: (line) => void said.push(line),
    launch: (command, args, given) => {
      started.push({ command, args, env: given });
      const { promise, resolve } = Promise.withResolvers<{ code: number | null }>();
      endNow = (code) => resolve({ code });
      return {
        ended: promise,
        end: async (graceMs) => {
          if (graceMs > 0) asked.push(graceMs);
          resolve({ code: 143 });
        },
      };
    },
  });
  const end = async (code: number | null, afterMs = 0): Promise<void> => {
    clock.advance(afterMs);
    endNow(code);
    for (let turn = 0; turn < 5; turn += 1) await settled();
  };
  const wait = async (ms: number): Promise<void> => {
    clock.advance(ms);
    for (let turn = 0; turn < 5; turn += 1) await settled();
  };
  return { exit, end, wait, started, asked, said, stopping, begun: () => begun };
};

describe('a supervised SuperNode', () => {
  it("is told of the guard as its SuperLink after the owner's own arguments, past every proxy", () => {
    const { started } = supervised({ NO_PROXY: 'intra.example', HTTPS_PROXY: 'http://proxy' });
    expect(started).toEqual([
      {
        command: 'flower-supernode',
        args: ['--node-config', 'partition-id=0', '--superlink', '127.0.0.1:1234', '--insecure'],
        env: { NO_PROXY: 'intra.example,127.0.0.1', HTTPS_PROXY: 'http://proxy' },
      },
    ]);
  });

  it('that ends well ends the guard', async () => {
    const { exit, end, started } = supervised();
    await end(0);
    expect(await exit).toBe(0);
    expect(started).toHaveLength(1);
  });

  it('that fails is started again, later each time, and given up after the fifth failure with its exit code', async () => {
    const { exit, end, wait, started, said, begun } = supervised();
    for (const [failures, pause] of [1_000, 2_000, 4_000, 8_000].entries()) {
      await end(7);
      await wait(pause - 1);
      expect(started).toHaveLength(failures + 1);
      await wait(1);
      expect(started).toHaveLength(failures + 2);
    }
    expect(begun()).toBe(5);
    expect(said).toHaveLength(4);
    await end(7);
    expect(await exit).toBe(7);
  });

  it('that ran for long before it failed is not on its way to be given up', async () => {
    const { end, wait, started } = supervised();
    for (let times = 1; times <= 8; times += 1) {
      await end(1, 60_001);
      await wait(1_000);
      expect(started).toHaveLength(times + 1);
    }
  });

  it('is asked to end when the guard ends, which is no failure', async () => {
    const { exit, stopping, asked } = supervised();
    stopping.abort();
    expect(await exit).toBe(0);
    expect(asked).toEqual([10_000]);
  });

  it('is not started again once the guard ends', async () => {
    const { exit, end, stopping, started } = supervised();
    await end(1);
    stopping.abort();
    expect(await exit).toBe(0);
    expect(started).toHaveLength(1);
  });
});

it.each([
  [['flower-supernode', '--superlink', 'x:1'], '--superlink'],
  [['flower-supernode', '--superlink=x:1'], '--superlink=x:1'],
  [['flower-supernode', '--insecure'], '--insecure'],
  [['flower-supernode', '--auth-supernode-private-key', 'k'], '--auth-supernode-private-key'],
  [['flower-supernode', '--node-config', 'a=1', '--superlinks'], undefined],
])("of %j the guard's own is %s", (args, expected) => {
  expect(reservedArgument(args)).toBe(expected);
});
