// The guard as one file that needs nothing installed: Node, the bundled program and the native library.
//   node scripts/guard-executable/build.ts [OUT]       default: .cache/guard/aegis-guard, and its .sha256 and .cdx.json beside it
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';
// It has no types.
// @ts-expect-error
import { inject } from 'postject';
import { reach } from '../assemble/reach.ts';
import { billOf, crateComponents, npmComponents } from '../assemble/sbom.ts';
import { root, version } from '../assemble/workspaces.ts';
import { nativeFile } from '../assemble/write-tree.ts';

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

const nativeFromAsset: Plugin = {
  name: 'native-from-asset',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/binding\.ts$/ }, ({ importer }) =>
      dirname(importer) === join(root, dirname(nativeFile))
        ? { path: join(import.meta.dirname, 'native-from-asset.ts') }
        : undefined,
    ),
};

export const buildGuardExecutable = async (out = join(root, '.cache/guard/aegis-guard')): Promise<string> => {
  const work = join(root, '.cache/guard/work');
  mkdirSync(work, { recursive: true });
  mkdirSync(dirname(out), { recursive: true });
  const bundle = join(work, 'bundle.cjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'entry.ts')],
    ...{ outfile: bundle, bundle: true, platform: 'node', target: 'node24', format: 'cjs', minifySyntax: true },
    plugins: [nativeFromAsset],
    logLevel: 'warning',
    legalComments: 'inline',
    define: {
      NATIVE_SHA256: JSON.stringify(sha256(join(root, nativeFile))),
      'import.meta.url': 'aegisFileUrl',
      'import.meta.dirname': '__dirname',
    },
    banner: { js: "const aegisFileUrl = require('node:url').pathToFileURL(__filename).href;" },
  });
  const settings = join(work, 'sea.json');
  const blob = join(work, 'sea.blob');
  writeFileSync(
    settings,
    JSON.stringify({
      ...{ main: bundle, output: blob, disableExperimentalSEAWarning: true, useCodeCache: false },
      // Nobody's NODE_OPTIONS loads code into a process that holds a site's keys.
      execArgvExtension: 'none',
      assets: { 'aegis-node.node': join(root, nativeFile) },
    }),
  );
  execFileSync(process.execPath, ['--experimental-sea-config', settings], { stdio: 'pipe' });
  // Beside its place first: a file that runs cannot be written to.
  const fresh = `${out}.new`;
  copyFileSync(process.execPath, fresh);
  chmodSync(fresh, 0o755);
  await inject(fresh, 'NODE_SEA_BLOB', readFileSync(blob), {
    sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
  });
  renameSync(fresh, out);
  writeFileSync(`${out}.sha256`, `${sha256(out)}  ${basename(out)}\n`);
  writeFileSync(`${out}.cdx.json`, bill());
  return out;
};

const bill = (): string => {
  const node = process.version.slice(1);
  return billOf(
    {
      type: 'application',
      name: 'aegis-guard',
      version,
      purl: `pkg:generic/aegis-guard@${version}`,
      licence: 'Apache-2.0',
    },
    [
      { type: 'platform', name: 'node', version: node, purl: `pkg:generic/node@${node}`, licence: 'MIT' },
      ...npmComponents(reach(['cli/bin/aegis-guard.ts'])),
      ...crateComponents(),
    ],
  );
};

if (import.meta.main) {
  const given = process.argv[2];
  console.log(await buildGuardExecutable(given === undefined ? undefined : resolve(given)));
}
