// Builds the images with the Docker engine that answers:
//   node deploy/docker/build.ts [NAME…]
//   BASE=node:24-bookworm-slim@sha256:… node deploy/docker/build.ts     on an image of a registry
// Without BASE the base is made from this machine's own Node and C library, and no registry is asked.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, version } from '../../scripts/assemble/workspaces.ts';
import { nativeFile } from '../../scripts/assemble/write-tree.ts';
import { images } from './images.ts';
import { provenance, stage } from './stage.ts';

const docker = (args: readonly string[]): string => {
  // Both builders work; the older one is in every engine.
  const env = { ...process.env, DOCKER_BUILDKIT: process.env.DOCKER_BUILDKIT ?? '0' };
  return execFileSync('docker', args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'inherit'] }).trim();
};

/** Node with the shared libraries it needs, from this machine: the same files that an image takes from any other base. */
const localBase = (): string => {
  const context = join(root, '.cache/images/base');
  rmSync(context, { recursive: true, force: true });
  mkdirSync(context, { recursive: true });
  execFileSync(
    process.execPath,
    [join(root, 'deploy/docker/runtime.mjs'), join(context, 'rootfs'), join(root, nativeFile)],
    { env: { ...process.env, SOURCE_DATE_EPOCH: String(provenance().seconds) }, stdio: 'inherit' },
  );
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY rootfs /\nENV PATH=/usr/local/bin\n');
  docker(['build', '--quiet', '--tag', 'aegis-base:local', context]);
  return 'aegis-base:local';
};

export const buildImages = (names: readonly string[] = Object.keys(images)): void => {
  const given = process.env.BASE;
  if (given !== undefined && !/@sha256:[0-9a-f]{64}$/.test(given)) {
    throw new Error(`BASE=${given} names no digest: say IMAGE@sha256:…, or leave BASE out`);
  }
  const base = given ?? localBase();
  for (const name of names) {
    const { context, dockerfile, target, args } = stage(name);
    const image = `aegis/${name}:${version}`;
    const given = target === undefined ? args : { ...args, BASE: base };
    const pairs = Object.entries(given).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]);
    if (target !== undefined) pairs.push('--target', target);
    // Nothing is fetched while an image is built.
    docker(['build', '--quiet', '--network', 'none', ...pairs, '--tag', image, '--file', dockerfile, context]);
    const size = Number(docker(['image', 'inspect', '--format', '{{.Size}}', image]));
    console.log(`${image}  ${(size / 1e6).toFixed(0)} MB`);
  }
};

if (import.meta.main) buildImages(process.argv.length > 2 ? process.argv.slice(2) : undefined);
