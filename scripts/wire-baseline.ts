// The contracts of the newest release, as descriptors: `node scripts/wire-baseline.ts` writes them when a release is made, and
// packages/contracts/src/compatibility.test.ts holds the contracts of today against them.
import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
export const BASELINE = 'proto/aegis/released.binpb';

/** A FileDescriptorSet of proto/aegis. */
export function describeContracts(): Buffer {
  const scratch = mkdtempSync(join(tmpdir(), 'aegis-wire-'));
  try {
    const out = join(scratch, 'set.binpb');
    const proto = join(root, 'proto');
    const files = globSync('aegis/**/*.proto', { cwd: proto }).sort();
    execFileSync(join(root, 'node_modules/.bin/protoc'), [
      `--proto_path=${proto}`,
      `--descriptor_set_out=${out}`,
      ...files,
    ]);
    return readFileSync(out);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (import.meta.main) writeFileSync(join(root, BASELINE), describeContracts());
