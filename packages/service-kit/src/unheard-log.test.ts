import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';

const program = `
  import { createLogger, onShutdown } from ${JSON.stringify(import.meta.resolve('./index.ts'))};
  const log = createLogger({ name: 'alone' });
  const shutdown = onShutdown(log, { drain: async () => {}, close: async () => {} });
  process.stdin.on('data', () => { for (let line = 0; line < 10; line++) log.info('nobody reads this'); });
  process.stdin.on('end', () => setImmediate(() => shutdown.trigger('end of input')));
  log.info('ready');
  process.exit(await shutdown.done);
`;

it('goes on and ends well when the reader of its log has gone away', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  child.stdin.write('speak\n');
  child.stdin.end();
  expect(await once(child, 'exit')).toEqual([0, null]);
});
