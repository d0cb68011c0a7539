import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';

// A real process and real signals: the lines it prints say what it did.
const service = (body: string) => {
  const kit = JSON.stringify(join(import.meta.dirname, 'index.ts'));
  const program = `
    import { runService, silentLogger, createLogger } from ${kit};
    import { AegisError } from '@aegis/errors';
    const say = (text) => process.stdout.write(text + '\\n');
    ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  const reader = createInterface(child.stdout);
  reader.on('line', (line) => lines.push(line));
  const ended = Promise.all([once(child, 'exit'), once(reader, 'close')]).then(([[code]]) => code as number);
  const says = async (text: string) => {
    while (!lines.includes(text)) await once(reader, 'line');
  };
  return { child, lines, ended, says };
};

const ordinary = `
  const keepAlive = setInterval(() => {}, 1000);
  await runService(silentLogger, async () => {
    setImmediate(() => say('up'));
    return { drain: async () => say('drain'), close: async () => { say('close'); clearInterval(keepAlive); } };
  });`;

describe('runService', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('drains, closes and exits 0 on %s', async (signal) => {
    const { child, lines, ended, says } = service(ordinary);
    await says('up');
    child.kill(signal);
    expect(await ended).toBe(0);
    expect(lines).toEqual(['up', 'drain', 'close']);
  });

  it('exits at once on the second signal', async () => {
    const { child, ended, says } = service(`
      const keepAlive = setInterval(() => {}, 1000);
      await runService(silentLogger, async () => {
        setImmediate(() => say('up'));
        return { drain: () => { say('draining'); return new Promise(() => {}); }, close: async () => {} };
      });`);
    await says('up');
    child.kill('SIGTERM');
    await says('draining');
    child.kill('SIGTERM');
    expect(await ended).toBe(143);
  });

  it('shuts down with exit code 1 after an unhandled rejection', async () => {
    const { lines, ended } = service(`
      await runService(silentLogger, async () => {
        setImmediate(() => Promise.reject(new Error('forgotten')));
        return { drain: async () => say('drain'), close: async () => say('close') };
      });`);
    expect(await ended).toBe(1);
    expect(lines).toEqual(['drain', 'close']);
  });

  it('closes although draining failed, and exits 1', async () => {
    const { child, lines, ended, says } = service(`
      const keepAlive = setInterval(() => {}, 1000);
      await runService(silentLogger, async () => {
        setImmediate(() => say('up'));
        return { drain: async () => { throw new Error('no'); }, close: async () => say('close') };
      });`);
    await says('up');
    child.kill('SIGTERM');
    expect(await ended).toBe(1);
    expect(lines).toEqual(['up', 'close']);
  });

  it('exits 2 on a wrong configuration and says what is wrong', async () => {
    const { lines, ended } = service(`
      await runService(createLogger({ name: 'x', destination: { write: say2 } }), async () => {
        throw new AegisError('CONFIG_INVALID', 'listen.port is missing');
      });
      function say2(line) { say(JSON.parse(line).msg); }`);
    expect(await ended).toBe(2);
    expect(lines.join()).toContain('listen.port is missing');
  });
});
