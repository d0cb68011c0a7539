// Regenerates packages/contracts/src/gen from proto/. `--check` fails when the committed code differs.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const committed = join(root, 'packages/contracts/src/gen');
const check = process.argv.includes('--check');
const target = check ? mkdtempSync(join(tmpdir(), 'aegis-contracts-')) : committed;

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();

const options = [
  'esModuleInterop=true',
  'importSuffix=.ts',
  'env=node',
  'forceLong=bigint',
  'oneof=unions-value',
  'enumsAsLiterals=true',
  'outputServices=grpc-js',
  'outputJsonMethods=false',
  'outputPartialMethods=true',
  'outputTypeAnnotations=false',
  'useExactTypes=false',
  'removeEnumPrefix=true',
  'useOptionals=none',
  'comments=false',
];

if (!check) rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
const protos = filesBelow(join(root, 'proto')).filter((file) => file.endsWith('.proto'));
execFileSync(
  join(root, 'node_modules/.bin/protoc'),
  [
    `--plugin=protoc-gen-ts_proto=${join(root, 'node_modules/.bin/protoc-gen-ts_proto')}`,
    `--ts_proto_out=${target}`,
    `--ts_proto_opt=${options.join(',')}`,
    `--proto_path=${join(root, 'proto')}`,
    ...protos,
  ],
  { stdio: 'inherit' },
);

if (check) {
  const fresh = filesBelow(target);
  const old = filesBelow(committed);
  const stale = [...new Set([...fresh, ...old])].filter(
    (file) =>
      !fresh.includes(file) ||
      !old.includes(file) ||
      readFileSync(join(target, file), 'utf8') !== readFileSync(join(committed, file), 'utf8'),
  );
  rmSync(target, { recursive: true, force: true });
  if (stale.length > 0) {
    console.error(`generated code is out of date, run \`npm run proto\`: ${stale.join(', ')}`);
    process.exit(1);
  }
}
