// The images of deploy/docker, without a container engine: the same folders, packed as archives and given to the nodes of the cluster.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { images } from '../../deploy/docker/images.ts';
import { provenance, stage } from '../../deploy/docker/stage.ts';
import { nativeFile } from '../../scripts/assemble/write-tree.ts';
import { cluster, root } from './cluster.ts';

/** `aegis/NAME:TAG` for every name. */
export async function loadImages(tag: string): Promise<void> {
  const folder = join(root, '.cache/images');
  const base = join(folder, 'base-rootfs');
  rmSync(base, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  execFileSync(process.execPath, [join(root, 'deploy/docker/runtime.mjs'), base, join(root, nativeFile)], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(provenance().seconds) },
  });
  for (const [name, { entry }] of Object.entries(images)) {
    const { context } = stage(name);
    const rootfs = join(context, 'rootfs');
    const isNats = entry === undefined;
    if (!isNats) cpSync(base, rootfs, { recursive: true });
    const archive = join(folder, `${name}.tar`);
    const config = isNats
      ? { Entrypoint: ['/nats-server'], User: '10001:10001' }
      : {
          ...{ Entrypoint: ['node', '/app/main.js'], User: '10001:10001', WorkingDir: '/app' },
          Env: ['PATH=/usr/local/bin', 'NODE_ENV=production'],
        };
    await cluster.image(`aegis/${name}:${tag}`, rootfs, archive, config);
    await cluster.load(archive);
    for (const made of [archive, context]) rmSync(made, { recursive: true });
  }
}
