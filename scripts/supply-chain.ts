// What is taken from others, and what must not be in the tree: the lock file, licences, install scripts, secrets. Part of `make check`.
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** Packages whose install scripts may run, and what for. */
const INSTALL_SCRIPTS = new Set([
  'node', // unpacks the runtime
  'esbuild', // of the test runner: checks its binary
  'protobufjs', // of grpc-js's loader: prints a note about versions
]);

/** Each alone lets us use and pass on what is under it. MPL-2.0 is of tools and files that we do not change. */
const LICENCES = new Set([
  ...['MIT', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', '0BSD', 'BlueOak-1.0.0', 'CC0-1.0', 'Unlicense'],
  ...[
    'MPL-2.0',
    'Zlib',
    'Unicode-3.0',
    'BSL-1.0',
    'MIT-0',
    'Apache-2.0 WITH LLVM-exception',
    'CC-BY-4.0',
    'Python-2.0',
  ],
]);

const SECRETS: readonly [what: string, pattern: RegExp][] = [
  ['a private key', /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n[A-Za-z0-9+/=]{40}/],
  ['a key of AWS', /\bAKIA[0-9A-Z]{16}\b/],
  ['a token of GitHub', /\bgh[pousr]_[A-Za-z0-9]{36}\b/],
  ['a token of Slack', /\bxox[abprs]-[0-9A-Za-z-]{20,}/],
];
/** Made for tests, and used nowhere else. */
const KNOWN = /^(tests\/vectors\/|core-native\/.*(test|vectors)|docs\/)|[.]test[.]ts$/;
const LARGEST_TEXT = 2 * 2 ** 20;

interface Locked {
  readonly link?: boolean;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly license?: string;
}

/** `A OR B`: one of them is enough; `A AND B`: both have to be. */
export const isAllowed = (licence: string): boolean =>
  licence
    .replaceAll(/[()]/g, '')
    .split(/ OR |\//)
    .some((choice) => choice.split(' AND ').every((one) => LICENCES.has(one.trim())));

export const lockFaults = (packages: Readonly<Record<string, Locked>>): string[] =>
  Object.entries(packages).flatMap(([path, one]) => {
    if (!path.includes('node_modules/') || one.link === true) return [];
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return [
      ...(one.integrity?.startsWith('sha512-') ? [] : [`${name}: the lock file has no SHA-512 of it`]),
      // Left out everywhere: npm then takes its registry, and nothing else.
      ...(one.resolved === undefined ? [] : [`${name}: the lock file names a place of its own, ${one.resolved}`]),
      ...(one.hasInstallScript && !INSTALL_SCRIPTS.has(name)
        ? [`${name}: has an install script that nobody allowed`]
        : []),
      ...(isAllowed(one.license ?? '') ? [] : [`${name}: its licence is "${one.license ?? 'not told'}"`]),
    ];
  });

export const secretIn = (text: string): string | null => SECRETS.find(([, pattern]) => pattern.test(text))?.[0] ?? null;

const cargoFaults = (): string[] => {
  // Of what is built on this machine: packages of other platforms need not be here. What is missing, cargo fetches, as clippy would.
  const host = /^host: (.+)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))?.[1] ?? '';
  const args = ['metadata', '--format-version', '1', '--locked', '--filter-platform', host];
  const told = execFileSync('cargo', args, {
    ...{
      cwd: join(root, 'core-native'),
      encoding: 'utf8',
      maxBuffer: 64 * 2 ** 20,
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  });
  const { packages } = JSON.parse(told) as {
    packages: { name: string; license: string | null; source: string | null }[];
  };
  if (packages.length < 2) throw new Error('cargo names no packages');
  return packages.flatMap(({ name, license, source }) => [
    ...(source === null || isAllowed(license ?? '')
      ? []
      : [`${name} (cargo): its licence is "${license ?? 'not told'}"`]),
    ...(source === null || source.startsWith('registry+') ? [] : [`${name} (cargo): comes from ${source}`]),
  ]);
};

const treeFaults = (): string[] =>
  execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 })
    .split('\0')
    .filter((file) => file !== '' && !KNOWN.test(file))
    .flatMap((file) => {
      const path = join(root, file);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile() || stat.size > LARGEST_TEXT) return [];
      const found = secretIn(readFileSync(path, 'latin1'));
      return found === null ? [] : [`${file}: there is ${found} in it`];
    });

if (process.argv[1] === import.meta.filename) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>;
  };
  const faults = [...lockFaults(lock.packages), ...cargoFaults(), ...treeFaults()];
  for (const fault of faults) console.error(`supply chain: ${fault}`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
