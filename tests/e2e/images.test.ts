// What every image promises, tried on the images themselves.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { images } from '../../deploy/docker/images.ts';
import { version } from '../../scripts/assemble/workspaces.ts';
import { docker } from './compose.ts';

const run = (...args: string[]) =>
  spawnSync('docker', ['run', '--rm', '--network', 'none', ...args], { encoding: 'utf8' });

describe.each(Object.keys(images))('aegis/%s', (name) => {
  const image = `aegis/${name}:${version}`;
  const [inspected] = JSON.parse(docker('image', 'inspect', image));
  const isNode = images[name]?.entry !== undefined;

  it('is small, is nobody, and says what it is made of', () => {
    expect(inspected.Size).toBeLessThan(250e6);
    expect(inspected.Config.User).toBe('10001:10001');
    const label = (key: string): string => inspected.Config.Labels[`org.opencontainers.image.${key}`];
    expect(label('version')).toBe(version);
    expect(label('licenses')).toBe('Apache-2.0');
    expect(label('revision')).toMatch(/^[0-9a-f]{40}(\+changed)?$/);
    expect(Date.parse(label('created'))).toBeGreaterThan(0);
    const bill = fileIn(inspected.Config.Labels['aegis.sbom.path']);
    expect(createHash('sha256').update(bill).digest('hex')).toBe(inspected.Config.Labels['aegis.sbom.sha256']);
    const names = JSON.parse(bill).components.map((one: { name: string }) => one.name);
    expect(names).toContain(isNode ? '@aegis/service-kit' : 'nats-server');
  });

  it('has no shell', () => {
    for (const shell of ['sh', '/bin/sh', '/bin/bash', '/bin/busybox']) {
      expect(run('--entrypoint', shell, image, '-c', 'true')).toMatchObject({ status: 127 });
    }
  });

  if (isNode)
    it('can write nowhere, and has no program but Node', () => {
      const script = `
      const found = [], open = [];
      const walk = (folder) => {
        for (const one of fs.readdirSync(folder || '/', { withFileTypes: true })) {
          const path = folder + '/' + one.name;
          if (['/proc', '/sys', '/dev', '/.dockerenv'].includes(path)) continue;
          if (one.isDirectory()) walk(path);
          else if (one.isFile() && fs.statSync(path).mode & 0o111 && !/\\.so(\\.|$)/.test(path)) found.push(path);
        }
        try { fs.writeFileSync(folder + '/written', ''); open.push(folder); } catch {}
      };
      walk('');
      console.log(JSON.stringify({ found, open, user: process.getuid() }));`;
      const { stdout } = run('--read-only', '--entrypoint', 'node', image, '--eval', script);
      expect(JSON.parse(stdout)).toEqual({ found: ['/usr/local/bin/node'], open: [], user: 10001 });
    });

  if (name !== 'guard')
    it('ends with one line that names the file, when its configuration is not there', () => {
      const { status, stdout, stderr } = run('--read-only', image);
      expect(status).not.toBe(0);
      const lines = (stdout + stderr).trim().split('\n');
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/\/etc\/aegis\/(config\.yaml|nats\.conf)/);
    });

  if (name === 'guard')
    it('says what it is for, and which files it misses', () => {
      expect(run(image)).toMatchObject({ status: 0, stdout: expect.stringContaining('--listen <address:port>') });
      const { status, stderr } = run(
        '--read-only',
        image,
        '--listen',
        '127.0.0.1:9092',
        '--policy',
        '/etc/aegis/policy.yaml',
      );
      expect(status).toBe(1);
      expect(stderr).toContain('/etc/aegis/policy.yaml cannot be read');
    });

  const fileIn = (path: string): string => {
    const container = docker('create', image);
    try {
      return spawnSync('sh', ['-c', `docker cp "${container}:${path}" - | tar -xO`], {
        encoding: 'utf8',
        maxBuffer: 16 * 1024 * 1024,
      }).stdout;
    } finally {
      docker('rm', container);
    }
  };
});
