import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const folders = new Set<string>();
const kept = new Set<string>();

/** The folder stays, for somebody to look into. */
export const keepScratch = (folder: string): void => {
  kept.add(folder);
};

const stays = (folder: string): boolean => Boolean(process.env.AEGIS_BENCH_KEEP) || kept.has(folder);

// An interrupted bench ends by process.exit, which runs no finally.
process.on('exit', () => {
  for (const folder of folders) if (!stays(folder)) rmSync(folder, { recursive: true, force: true });
});

/** A folder for one figure; gone afterwards. */
export async function withScratch<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'aegis-bench-'));
  folders.add(folder);
  try {
    return await work(folder);
  } finally {
    if (stays(folder)) console.error(`kept ${folder}`);
    else await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    folders.delete(folder);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Waits until something accepts connections there. */
export async function listening(port: number, timeoutMs: number, alive: () => boolean): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline && alive()) {
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    await sleep(100);
  }
  throw new Error(`nothing listens on port ${port}`);
}
