// A data owner's machine: a folder of its own, nothing of this repository in reach.
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRoot, issueCertificate } from '@aegis/service-kit';

export interface Site {
  readonly folder: string;
  /** Options of a guard: who it is, and a server that nobody is. */
  readonly options: readonly string[];
  /** Runs a program in the folder to its end. */
  run(program: string, args: readonly string[], env?: NodeJS.ProcessEnv): SpawnSyncReturns<string>;
  /** Runs one until it says something, tells it to end, and gives its exit code and all its words. */
  until(words: string, program: string, args: readonly string[]): Promise<{ code: number | null; said: string }>;
  remove(): void;
}

export const newSite = async (): Promise<Site> => {
  const folder = mkdtempSync(join(tmpdir(), 'aegis-site-'));
  const now = Date.now();
  const root = await createRoot('hospitals', 10, now);
  const { certPem, keyPem } = await issueCertificate(root, { kind: 'guard', name: 'ada', days: 1 }, now);
  writeFileSync(join(folder, 'ca.pem'), root.certPem);
  writeFileSync(join(folder, 'ada.pem'), certPem);
  writeFileSync(join(folder, 'ada.key'), keyPem, { mode: 0o600 });
  writeFileSync(join(folder, 'policy.yaml'), 'apps: [a/b]\nlocal-noise: { clip: 1.0, epsilon: 8.0, delta: 1.0e-5 }\n');
  const around = { cwd: folder, env: { PATH: '/usr/bin:/bin', HOME: folder } };
  return {
    folder,
    options: ['--server', '127.0.0.1:1', '--ca', 'ca.pem', '--certificate', 'ada.pem', '--key', 'ada.key'],
    run: (program, args, env = {}) =>
      spawnSync(program, args, { ...around, env: { ...around.env, ...env }, encoding: 'utf8' }),
    until: (words, program, args) =>
      new Promise((resolve, reject) => {
        const child = spawn(program, args, { ...around, stdio: ['ignore', 'pipe', 'pipe'] });
        let said = '';
        const hear = (piece: Buffer): void => {
          said += piece.toString();
          if (said.includes(words)) child.kill('SIGTERM');
        };
        child.stdout.on('data', hear);
        child.stderr.on('data', hear);
        child.once('error', reject);
        child.once('close', (code) => resolve({ code, said }));
      }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
};
