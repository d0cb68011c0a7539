// The release-independent name of an app: what its files say, whichever `flwr` release bundled them. aegis_fl computes
// the same in Python, so every rule here is Python's where the two languages differ (docs: clients/python/aegis_fl).
import { type BundleFile, PYPROJECT } from './app-bundle.ts';

// Newer releases leave these out of a bundle, older ones put them in: they cannot count.
const unsteadyFolders = new Set(
  '.flwr build eggs .eggs lib lib64 parts .venv env venv ENV env.bak venv.bak'.split(' '),
);

/** The text whose SHA-256 is the digest. `pyprojectSha256`: of `canonicalPyproject`. */
export function canonicalApp(files: readonly BundleFile[], pyprojectSha256: string): string {
  const lines = files
    .filter((file) => counts(file.path))
    .sort((a, b) => compareCodePoints(a.path, b.path))
    .map((file) => `${file.path}\0${file.sha256}\n`);
  return `${lines.join('')}pyproject\0${pyprojectSha256}\n`;
}

/** Whether a file takes part in the digest. */
export function counts(path: string): boolean {
  const pieces = path.split('/');
  const [root = '', ...below] = pieces;
  const name = pieces.at(-1) ?? '';
  if (name === '' || path === PYPROJECT || path === 'LICENSE' || root === '.info') return false;
  if (unsteadyFolders.has(root) && below.length > 0) return false;
  if (pieces.some((piece) => piece === '__pycache__' || piece.endsWith('.egg'))) return false;
  return !name.endsWith('_test.py') && !(name.startsWith('test_') && name.endsWith('.py'));
}

/** What of pyproject.toml makes the app what it is; the bundler rewrites the rest. */
export function canonicalPyproject(pyproject: unknown): string {
  const project = at(pyproject, 'project');
  const app = at(pyproject, 'tool', 'flwr', 'app');
  return canonicalJson({
    project: pick(project, ['name', 'version']),
    tool: { flwr: { app: pick(app, ['publisher', 'components', 'config']) } },
  });
}

/** json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) */
export function canonicalJson(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return pythonFloat(value);
  if (typeof value === 'string') return pythonString(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value as object)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => compareCodePoints(a, b))
    .map(([key, member]) => `${pythonString(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

/** repr(float): the same shortest digits as JavaScript, an exponent below 1e-4 and from 1e16. */
function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [mantissa, power] = value.toExponential().split('e') as [string, string];
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const plain = String(value);
  return plain.includes('.') ? plain : `${plain}.0`;
}

function pythonString(value: string): string {
  const escaped = JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return escaped;
}

/** Python's order of strings, which is also the order of their UTF-8 bytes; JavaScript's differs past U+FFFF. */
function compareCodePoints(a: string, b: string): number {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let i = 0; i < left.length && i < right.length; i += 1) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function at(root: unknown, ...path: string[]): Record<string, unknown> {
  let value = root;
  for (const key of path) value = (value as Record<string, unknown> | undefined)?.[key];
  return (value ?? {}) as Record<string, unknown>;
}

const pick = (from: Record<string, unknown>, keys: string[]): Record<string, unknown> =>
  Object.fromEntries(keys.map((key) => [key, from[key]]));
