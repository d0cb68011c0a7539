// The files that the chart writes are read by the services' own schemas: a key that a service does not know would end its pod.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '@aegis/service-kit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { processConfig as aggregator } from '../../services/aggregator/src/config.ts';
import { processConfig as gateway } from '../../services/gateway/src/config.ts';
import { processConfig as issuer } from '../../services/issuer/src/config.ts';
import { processConfig as accountant } from '../../services/privacy-accountant/src/config.ts';
import { processConfig as secagg } from '../../services/secagg/src/config.ts';
import { type Any, render, valueSets } from './render.ts';

const schemas: Record<string, ZodType<Any>> = { gateway, aggregator, secagg, issuer, 'privacy-accountant': accountant };
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aegis-files-'));
  writeFileSync(join(folder, 'password'), 'of-the-test');
  chmodSync(join(folder, 'password'), 0o600);
});
afterAll(() => rmSync(folder, { recursive: true }));

const filesOf = async (options: Parameters<typeof render>[0]): Promise<Map<string, Any>> => {
  const files = new Map<string, Any>();
  for (const { metadata, data } of (await render(options)).ofKind('ConfigMap')) {
    const service = metadata.labels['app.kubernetes.io/component'];
    const schema = schemas[service];
    if (schema === undefined) continue;
    // The one thing that is read while the file is: a password.
    const text = data['config.yaml'].replace('/etc/aegis/nats/password', join(folder, 'password'));
    files.set(service, parseConfig(text, schema, metadata.name));
  }
  return files;
};

it.each(valueSets)('%s: every service reads its file', async (values) => {
  const files = await filesOf({ values });
  expect(files.size).toBeGreaterThanOrEqual(2);
  for (const config of files.values()) expect(config.metrics.address).toBe('0.0.0.0:9464');
});

it('says who may call, and nobody more', async () => {
  const files = await filesOf({ values: 'production' });
  const callers = Object.assign({}, ...[...files.values()].map((config) => config.listen?.callers ?? {}));
  expect(callers).toEqual({
    'aegis.aggregator.v1.Intake': ['gateway'],
    'aegis.aggregator.v1.Runs': ['gateway'],
    'aegis.secagg.v1.Relay': ['gateway'],
    'aegis.secagg.v1.Rounds': ['aggregator'],
    'aegis.privacy.v1.Ledger': ['aggregator'],
    'aegis.privacy.v1.LedgerReader': ['aggregator', 'gateway'],
    'aegis.privacy.v1.LedgerOperator': ['gateway'],
    'aegis.issuer.v1.Issuer': ['gateway'],
  });
});

it('nothing listens or calls in plain text', async () => {
  for (const values of valueSets) {
    for (const [service, config] of await filesOf({ values })) {
      for (const [key, part] of Object.entries(config as Record<string, Any>)) {
        if (part?.address === undefined || key === 'metrics') continue;
        expect(part.tls, `${service}.${key}`).toBeDefined();
        expect(part.insecure, `${service}.${key}`).toBe(false);
      }
      if (config.nats !== undefined) expect(config.nats.tls, service).toBeDefined();
    }
  }
});

it('lists every aggregator by the name that its pod will have', async () => {
  const files = await filesOf({ values: 'production', release: 'fl', namespace: 'learning' });
  expect(files.get('gateway').aggregator.address).toEqual([
    'fl-aegis-aggregator-0.fl-aegis-aggregator.learning.svc:7443',
    'fl-aegis-aggregator-1.fl-aegis-aggregator.learning.svc:7443',
  ]);
});

it("takes the operator's further keys, and they count", async () => {
  const files = await filesOf({ values: 'bring-your-own' });
  expect(files.get('gateway').gateway).toMatchObject({ 'hold-seconds': 10, limits: { 'upload-mib': 64 }, rest: true });
});
