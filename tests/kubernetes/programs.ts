// Programs of other projects that the suite is tried with: built from their sources once, into the cluster's cache, and put into images of nothing else.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cache, cluster, root } from './cluster.ts';

/** A module as the Go proxy has it; read-only. */
export function moduleFolder(module: string, version: string): string {
  const printed = execFileSync('go', ['mod', 'download', '-json', `${module}@${version}`], { encoding: 'utf8' });
  return JSON.parse(printed).Dir;
}

/** The same to build in, where the module's own replacements hold, which they do not for a module that another one asks for. */
export function moduleCopy(module: string, version: string): string {
  const copy = join(cache, 'src', `${module.split('/')[2]}-${version}`);
  if (existsSync(copy)) return copy;
  const part = `${copy}.part`;
  rmSync(part, { recursive: true, force: true });
  cpSync(moduleFolder(module, version), part, { recursive: true });
  execFileSync('chmod', ['-R', 'u+w', part]);
  renameSync(part, copy);
  return copy;
}

export interface Program {
  /** Of the image aegis-test/NAME:VERSION and of the program in it, /NAME. */
  readonly name: string;
  readonly version: string;
  /** Of its sources; asked for only when the cache does not have the program. */
  readonly folder: () => string;
  /** The package in it. */
  readonly main: string;
  /** What the compiler is told to leave out. */
  readonly tags?: string;
}

export const imageOf = ({ name, version }: Program): string => `aegis-test/${name}:${version}`;

/** Minutes, the first time. */
function build({ name, version, folder, main, tags = '' }: Program): string {
  const program = join(cache, 'bin', `${name}-${version}`);
  if (existsSync(program)) return program;
  mkdirSync(join(cache, 'bin'), { recursive: true });
  const go = ['go', 'build', '-trimpath', '-buildvcs=false', '-tags', tags, '-ldflags', '-s -w'];
  // Some modules carry a workspace file of folders that are not in them.
  const env = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' };
  execFileSync('nice', ['-n', '10', ...go, '-o', `${program}.part`, main], {
    cwd: folder(),
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  renameSync(`${program}.part`, program);
  return program;
}

export async function loadProgram(program: Program): Promise<void> {
  const built = build(program);
  const rootfs = join(root, '.cache/images', program.name);
  rmSync(rootfs, { recursive: true, force: true });
  mkdirSync(rootfs, { recursive: true });
  cpSync(built, join(rootfs, program.name));
  const archive = `${rootfs}.tar`;
  await cluster.image(imageOf(program), rootfs, archive, { Entrypoint: [`/${program.name}`], User: '65532:65532' });
  await cluster.load(archive);
  for (const made of [archive, rootfs]) rmSync(made, { recursive: true });
}
