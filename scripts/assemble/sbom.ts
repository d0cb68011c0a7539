// A bill of materials, CycloneDX 1.6. Nothing in it depends on when or where it was made.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Reached } from './reach.ts';
import { root, version } from './workspaces.ts';

export interface Component {
  readonly type: 'application' | 'library' | 'platform';
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  /** SPDX expression. */
  readonly licence?: string | undefined;
  /** Algorithm as CycloneDX names it, and hex. */
  readonly hash?: { readonly alg: 'SHA-256' | 'SHA-512'; readonly content: string } | undefined;
}

export const npmComponents = ({ workspaces, packages }: Reached): Component[] => [
  ...[...workspaces].map(({ manifest }) => npmComponent(manifest.name, version, 'Apache-2.0')),
  ...[...packages].map(([folder, { version: locked, license, integrity }]) =>
    npmComponent(folder.slice(folder.lastIndexOf('node_modules/') + 13), locked, license, integrity),
  ),
];

const npmComponent = (name: string, at: string, licence?: string, integrity?: string): Component => ({
  ...{ type: 'library', name, version: at, licence },
  purl: `pkg:npm/${name.replace('@', '%40')}@${at}`,
  hash: integrity?.startsWith('sha512-')
    ? { alg: 'SHA-512', content: Buffer.from(integrity.slice(7), 'base64').toString('hex') }
    : undefined,
});

/** What is compiled into the native binding. */
export const crateComponents = (): Component[] => {
  const tree = ['tree', '--locked', '--offline', '-p', 'aegis-node', '-e', 'normal,no-proc-macro', '--prefix', 'none'];
  const printed = execFileSync('cargo', [...tree, '-f', '{p}|{l}'], {
    cwd: join(root, 'core-native'),
    encoding: 'utf8',
  });
  const lines = new Set(printed.split('\n').map((line) => line.replace(/ \(\*\)$/, '')));
  return [...lines].sort().flatMap((line): Component[] => {
    const [, name, at, licence] = /^(\S+) v([^ |]+)[^|]*\|(.*)$/.exec(line) ?? [];
    if (name === undefined || at === undefined) return [];
    const own = name.startsWith('aegis-');
    return [
      {
        ...{ type: 'library', name, version: at, purl: `pkg:cargo/${name}@${at}` },
        licence: own ? 'Apache-2.0' : licence?.replaceAll('/', ' OR ') || undefined,
      },
    ];
  });
};

/** @returns the document, as text. */
export const billOf = (about: Component, parts: readonly Component[]): string => {
  const components = parts.map((part) => ({ 'bom-ref': part.purl, ...fields(part) }));
  const body = JSON.stringify([about, components]);
  // The serial number of equal contents is equal: a UUID of version 8 made of their hash.
  const hex = createHash('sha256').update(body).digest('hex');
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)];
  return `${JSON.stringify(
    {
      $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
      ...{ bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber: `urn:uuid:${uuid.join('-')}`, version: 1 },
      metadata: { component: { 'bom-ref': about.purl, ...fields(about) } },
      components,
    },
    null,
    1,
  )}\n`;
};

const fields = ({ type, name, version: at, purl, licence, hash }: Component): object => ({
  ...{ type, name, version: at, purl },
  ...(licence !== undefined && { licenses: [{ expression: licence }] }),
  ...(hash !== undefined && { hashes: [hash] }),
});
