// The compose file's configuration against the schemas of the services, with the files that prepare.ts makes; no Docker engine is needed.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '@aegis/service-kit';
import { type TemporaryFolder, temporaryFolder } from '@aegis/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { processConfig as aggregator } from '../../services/aggregator/src/config.ts';
import { processConfig as gateway } from '../../services/gateway/src/config.ts';
import { processConfig as accountant } from '../../services/privacy-accountant/src/config.ts';
import { processConfig as secagg } from '../../services/secagg/src/config.ts';
import { prepare } from './prepare.ts';

const schemas = { aggregator, gateway, 'privacy-accountant': accountant, secagg };
const configs = join(import.meta.dirname, 'config');

let folder: TemporaryFolder;
let variables: Record<string, string>;
beforeAll(async () => {
  folder = await temporaryFolder('compose');
  variables = await prepare({ state: folder.path, publish: '127.0.0.1:9443', hosts: ['aegis.example.org'] });
});
afterAll(() => folder.remove());

it('there is one for each service of the compose file', () => {
  expect(readdirSync(configs).sort()).toEqual(
    [...Object.keys(schemas).map((name) => `${name}.yaml`), 'nats.conf'].sort(),
  );
});

it.each(Object.entries(schemas))('%s reads its own', (name, schema) => {
  const text = readFileSync(join(configs, `${name}.yaml`), 'utf8');
  const file = join(folder.path, `${name}.yaml`);
  writeFileSync(file, text.replaceAll('/etc/aegis/secrets', join(folder.path, name, 'secrets')));
  expect(loadConfig<unknown>(file, schema)).toMatchObject({ nats: { servers: ['nats://nats:4222'] } });
});

it('prepares again without another key, and never as root', async () => {
  const token = join(folder.path, 'gateway/secrets/operator.token');
  const before = [readFileSync(token, 'utf8'), readFileSync(join(folder.path, 'pki/ca.pem'), 'utf8')];
  expect(await prepare({ state: folder.path, publish: '127.0.0.1:9443', hosts: [] })).toEqual(variables);
  expect([readFileSync(token, 'utf8'), readFileSync(join(folder.path, 'pki/ca.pem'), 'utf8')]).toEqual(before);
  expect(variables.AEGIS_USER).toMatch(/^[1-9]\d*:\d+$/);
});
