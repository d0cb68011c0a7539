// Regenerates from proto/ what is committed: packages/contracts/src/gen and the descriptors of the Python client.
// `--check` fails when the committed files differ.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const committed = join(root, 'packages/contracts/src/gen');
/**
 * Python makes its message classes from descriptors when it starts: generated Python code demands a protobuf runtime of
 * at least its own release, and the environments of supported Flower releases bring 4.25 to 6.
 */
const committedDescriptors = join(root, 'clients/python/aegis_fl/src/aegis_fl/_wire/node.binpb');
const check = process.argv.includes('--check');
const scratch = mkdtempSync(join(tmpdir(), 'aegis-contracts-'));
const target = check ? join(scratch, 'gen') : committed;
const descriptors = check ? join(scratch, 'node.binpb') : committedDescriptors;
const protoc = join(root, 'node_modules/.bin/protoc');

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
  protoc,
  [
    `--plugin=protoc-gen-ts_proto=${join(root, 'node_modules/.bin/protoc-gen-ts_proto')}`,
    `--ts_proto_out=${target}`,
    `--ts_proto_opt=${options.join(',')}`,
    `--proto_path=${join(root, 'proto')}`,
    ...protos,
  ],
  { stdio: 'inherit' },
);
execFileSync(
  protoc,
  [
    `--proto_path=${join(root, 'proto')}`,
    '--include_imports',
    `--descriptor_set_out=${descriptors}`,
    'aegis/node/v1/node.proto',
  ],
  { stdio: 'inherit' },
);

for (const file of filesBelow(target)) {
  const path = join(target, file);
  writeFileSync(path, strict(readFileSync(path, 'utf8')));
}

if (check) {
  const fresh = filesBelow(target);
  const old = filesBelow(committed);
  const stale = [...new Set([...fresh, ...old])].filter(
    (file) =>
      !fresh.includes(file) ||
      !old.includes(file) ||
      readFileSync(join(target, file), 'utf8') !== readFileSync(join(committed, file), 'utf8'),
  );
  if (!existsSync(committedDescriptors) || !readFileSync(descriptors).equals(readFileSync(committedDescriptors)))
    stale.push(relative(root, committedDescriptors));
  if (stale.length > 0) {
    console.error(`generated code is out of date, run \`npm run proto\`: ${stale.join(', ')}`);
    process.exitCode = 1;
  }
}
rmSync(scratch, { recursive: true, force: true });

/** Every decoder refuses what the reference implementations refuse: packages/contracts/src/strict-reader.ts says what. */
function strict(code: string): string {
  if (!code.includes('new BinaryReader(input)')) return code;
  const changed = code
    .replace(
      /^import \{ BinaryReader/m,
      "import { strictly } from '@aegis/contracts/strict-reader';\nimport { type BinaryReader",
    )
    .replaceAll('input instanceof BinaryReader ? input : new BinaryReader(input)', 'strictly(input)')
    .replaceAll('const tag = reader.uint32();', 'const tag = reader.field();')
    .replaceAll(/ *if \(\(tag & 7\) === 4 \|\| tag === 0\) \{\s*break;\s*\}\n/g, '')
    .replaceAll('.decode(reader, reader.uint32())', '.decode(reader, reader.length())')
    .replaceAll('const end2 = reader.uint32() + reader.pos;', 'const end2 = reader.length() + reader.pos;')
    .replaceAll('reader.skip(tag & 7);', 'reader.skip(tag & 7, tag >>> 3);')
    .replaceAll(
      /(\n *)\}\n *return message;\n( *)\} finally/g,
      '$1}$1reader.endsAt(end);$1return message;\n$2} finally',
    )
    .replaceAll(
      /(\n *)while \(reader\.pos < end2\) \{([^}]*)\}/g,
      '$1while (reader.pos < end2) {$2}$1reader.endsAt(end2);',
    );
  // Another release of the generator may write other code: then this has to be looked at, not left out.
  const decoders = code.split('new BinaryReader(input)').length - 1;
  for (const mark of ['strictly(input)', 'reader.field()', 'reader.skip(tag & 7, tag >>> 3)', 'reader.endsAt(end)'])
    if (changed.split(mark).length - 1 !== decoders) throw new Error(`generated code is not as expected: ${mark}`);
  if (changed.split('reader.endsAt(end2)').length !== code.split('const end2 =').length || /=== 4/.test(changed))
    throw new Error('generated code is not as expected: packed fields, or ends of groups');
  return changed;
}
