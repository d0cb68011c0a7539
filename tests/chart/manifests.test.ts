import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('deploy/k8s/manifests is what the chart makes today', async () => {
  const script = join(import.meta.dirname, '../../scripts/kubernetes-manifests.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--check']);
  expect(stdout).toMatch(/^\d+ files are current\n$/);
});
