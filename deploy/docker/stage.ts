// Lays out what goes into an image: .cache/images/NAME, a build context. Equal sources give an equal folder, times included.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { scriptName } from '../../scripts/assemble/javascript.ts';
import { reach } from '../../scripts/assemble/reach.ts';
import { billOf, type Component, crateComponents, npmComponents } from '../../scripts/assemble/sbom.ts';
import { root, version } from '../../scripts/assemble/workspaces.ts';
import { nativeFile, normalise, writeTree } from '../../scripts/assemble/write-tree.ts';
import { type Image, images } from './images.ts';

export interface Staged {
  readonly context: string;
  readonly dockerfile: string;
  readonly target: string | undefined;
  /** For `docker build --build-arg`. */
  readonly args: Readonly<Record<string, string>>;
}

const git = (...args: string[]): string => execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();

/** The commit that is built, and its time; SOURCE_DATE_EPOCH goes before. A tree with changes of its own says so. */
export const provenance = (): { revision: string; seconds: number } => {
  const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
  return {
    revision: `${git('rev-parse', 'HEAD')}${changed ? '+changed' : ''}`,
    seconds: Number(process.env.SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct')),
  };
};

export const stage = (name: string): Staged => {
  const image = images[name];
  if (image === undefined) throw new Error(`no image ${name}: there are ${Object.keys(images).join(', ')}`);
  const context = join(root, '.cache/images', name);
  rmSync(context, { recursive: true, force: true });
  const inside = join(context, 'rootfs', image.entry === undefined ? '' : 'app');
  mkdirSync(inside, { recursive: true });
  const components = image.entry === undefined ? layNats(inside) : layProgram(context, inside, image, image.entry);
  const about: Component = {
    ...{ type: 'application', name: `aegis/${name}`, version, licence: 'Apache-2.0' },
    purl: `pkg:oci/${name}@${version}`,
  };
  const sbom = billOf(about, components);
  writeFileSync(join(inside, 'sbom.cdx.json'), sbom);
  cpSync(join(root, 'LICENSE'), join(inside, 'LICENSE'));
  const { revision, seconds } = provenance();
  normalise(join(context, 'rootfs'), seconds, ['nats-server']);
  return {
    context,
    dockerfile: join(root, 'deploy/docker', image.entry === undefined ? 'nats.Dockerfile' : 'Dockerfile'),
    target: image.target,
    args: {
      ...{ NAME: name, TITLE: image.title, VERSION: version, REVISION: revision },
      CREATED: new Date(seconds * 1000).toISOString(),
      SOURCE_DATE_EPOCH: String(seconds),
      SBOM_SHA256: createHash('sha256').update(sbom).digest('hex'),
    },
  };
};

const layProgram = (context: string, inside: string, { beside = {} }: Image, entry: string): Component[] => {
  const programs = { 'main.js': entry, ...beside };
  const reached = reach(Object.values(programs));
  writeTree(reached, inside);
  for (const [file, source] of Object.entries(programs)) {
    writeFileSync(join(inside, file), `import './${posix.normalize(scriptName(source))}';\n`);
  }
  writeFileSync(join(inside, 'package.json'), '{ "type": "module" }\n');
  cpSync(join(root, 'deploy/docker/runtime.mjs'), join(context, 'runtime.mjs'));
  cpSync(join(root, nativeFile), join(context, 'aegis-node.node'));
  const node = process.version.slice(1);
  const runtime: Component = {
    ...{ type: 'platform', name: 'node', version: node, licence: 'MIT', purl: `pkg:generic/node@${node}` },
  };
  const hasCore = [...reached.workspaces].some(({ folder }) => nativeFile.startsWith(`${folder}/`));
  return [runtime, ...npmComponents(reached), ...(hasCore ? crateComponents() : [])];
};

const layNats = (inside: string): Component[] => {
  const file = join(root, '.cache/bin/nats-server');
  const at = readFileSync(`${file}.version`, 'utf8').trim();
  cpSync(file, join(inside, 'nats-server'));
  return [
    {
      ...{ type: 'application', name: 'nats-server', version: at, licence: 'Apache-2.0' },
      purl: `pkg:golang/github.com/nats-io/nats-server/v2@v${at}`,
      hash: { alg: 'SHA-256', content: createHash('sha256').update(readFileSync(file)).digest('hex') },
    },
  ];
};
