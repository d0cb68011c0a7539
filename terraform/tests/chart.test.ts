// What the infrastructure says about itself is what the chart takes and the services understand: the module's values, without AWS, through the
// chart's own schema and checks, and the files that come of it through the services' own.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '@aegis/service-kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { ZodType } from 'zod';
import { processConfig as aggregator } from '../../services/aggregator/src/config.ts';
import { processConfig as accountant } from '../../services/privacy-accountant/src/config.ts';

const root = join(import.meta.dirname, '../..');
const chart = join(root, 'deploy/k8s/helm/aegis');
const helm = join(root, '.cache/bin/helm');
const has = (command: string, ...args: string[]) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;
const missing = [
  ...(existsSync(chart) ? [] : ['no chart']),
  ...(has(helm, 'version') ? [] : ['no helm in .cache/bin']),
  ...(has('terraform', 'version') ? [] : ['no terraform']),
];
if (missing.length > 0) console.log(`chart values are not tried: there is ${missing.join(' and ')}`);

const services = ['gateway', 'aggregator', 'secagg', 'privacy-accountant', 'issuer'];
const given = {
  region: 'eu-central-1',
  secret_prefix: 'aegis',
  image_tag: '0.1.0',
  buckets: { models: 'aegis-models-111122223333', anchor: 'aegis-anchor-111122223333' },
  key_arns: Object.fromEntries(
    ['models', 'anchor', 'state-aggregator', 'state-privacy-accountant'].map((purpose) => [
      purpose,
      `arn:aws:kms:eu-central-1:111122223333:key/${purpose}`,
    ]),
  ),
  service_accounts: Object.fromEntries(
    services.map((service) => [
      service,
      {
        name: `aegis-${service}`,
        annotations: { 'eks.amazonaws.com/role-arn': `arn:aws:iam::111122223333:role/${service}` },
      },
    ]),
  ),
  repository_urls: Object.fromEntries(
    [...services, 'nats'].map((image) => [image, `111122223333.dkr.ecr.eu-central-1.amazonaws.com/aegis/${image}`]),
  ),
};

/** The service's file in what helm rendered, as the service itself reads it. */
function fileOf<T>(rendered: string, service: string, schema: ZodType<T>): T {
  for (const document of parseAllDocuments(rendered)) {
    const object = document.toJS() as {
      kind: string;
      metadata: { labels: Record<string, string> };
      data: Record<string, string>;
    } | null;
    if (object?.kind !== 'ConfigMap' || object.metadata.labels['app.kubernetes.io/component'] !== service) continue;
    return parseConfig(object.data['config.yaml'] ?? '', schema, service);
  }
  throw new Error(`helm rendered no file for ${service}`);
}

describe.skipIf(missing.length > 0)('helm_values', () => {
  let work: string;
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'aegis-chart-values-'));
    cpSync(join(root, 'terraform/modules/chart-values'), work, { recursive: true });
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  const terraform = (...args: string[]) => {
    const done = spawnSync('terraform', args, {
      cwd: work,
      encoding: 'utf8',
      env: { ...process.env, CHECKPOINT_DISABLE: '1' },
    });
    expect(done.status, done.stdout + done.stderr).toBe(0);
    return done.stdout;
  };

  test.for([
    [
      'production',
      { secret_store: 'aws-secrets-manager', replicas: { gateway: 3, aggregator: 3, secagg: 3, nats: 3 } },
    ],
    [
      'dev',
      {
        single_node: true,
        replicas: { gateway: 1, secagg: 1, nats: 1 },
        internal: true,
        source_ranges: ['203.0.113.0/24'],
      },
    ],
  ] as const)('the chart takes those of %s', ([, more]) => {
    writeFileSync(join(work, 'terraform.tfvars.json'), JSON.stringify({ ...given, ...more }));
    terraform('init', '-input=false', '-no-color');
    terraform('apply', '-auto-approve', '-input=false', '-no-color');
    const values = join(work, 'values.json');
    writeFileSync(values, terraform('output', '-json', 'helm_values'));

    const done = spawnSync(helm, ['template', 'aegis', chart, '--namespace', 'aegis', '--values', values], {
      encoding: 'utf8',
      maxBuffer: 2 ** 25,
    });

    expect(done.status, done.stderr).toBe(0);
    for (const service of ['gateway', 'aggregator', 'secagg', 'privacy-accountant']) {
      expect(done.stdout).toContain(`eks.amazonaws.com/role-arn: arn:aws:iam::111122223333:role/${service}`);
      expect(done.stdout).toContain(`111122223333.dkr.ecr.eu-central-1.amazonaws.com/aegis/${service}:0.1.0`);
    }
    const { s3, keys } = fileOf(done.stdout, 'aggregator', aggregator).aggregator;
    expect(s3).toMatchObject({
      bucket: given.buckets.models,
      region: given.region,
      'sse-kms-key-id': given.key_arns.models,
    });
    expect(keys?.kms).toMatchObject({ 'key-id': given.key_arns['state-aggregator'], region: given.region });
    const ledger = fileOf(done.stdout, 'privacy-accountant', accountant).accountant;
    expect(ledger['anchor-s3']).toMatchObject({
      bucket: given.buckets.anchor,
      'sse-kms-key-id': given.key_arns.anchor,
    });
    expect(ledger.keys?.kms?.['key-id']).toBe(given.key_arns['state-privacy-accountant']);
    expect(done.stdout).toContain('cidr: 169.254.170.23/32');
  });
});
