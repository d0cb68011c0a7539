// Whatever the values are: what comes out is what Kubernetes, and the makers of the custom resources, call well-formed.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Certificate, Issuer } from '@kubernetes-models/cert-manager/cert-manager.io/v1';
import { ExternalSecret } from '@kubernetes-models/external-secrets/external-secrets.io/v1';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1';
import { PodMonitor, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { expect, it } from 'vitest';
import { type Any, render, type ValueSet, valueSets } from './render.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const custom: Record<string, new (value: Any) => { validate(): void }> = {
  ...{ Certificate, Issuer, ExternalSecret, ScaledObject, PodMonitor, PrometheusRule },
};
const isCustom = ({ apiVersion }: Any): boolean =>
  /^(cert-manager\.io|external-secrets\.io|keda\.sh|monitoring\.coreos\.com)\//.test(apiVersion);

it.each(valueSets)('%s: every object fits the schemas of Kubernetes 1.32 to 1.36', async (values) => {
  const { objects } = await render({ values: values as ValueSet });
  const own = objects.filter((one) => !isCustom(one));
  expect(own.length).toBeGreaterThan(15);
  const folder = await mkdtemp(join(tmpdir(), 'aegis-chart-'));
  const file = join(folder, 'objects.json');
  await writeFile(file, JSON.stringify(own));
  const { stdout } = await run(join(root, 'scripts/kubernetes-validate.sh'), [
    file,
    '1.32',
    '1.33',
    '1.34',
    '1.35',
    '1.36',
  ]);
  await rm(folder, { recursive: true });
  expect(stdout.trim()).toBe(`${own.length * 5} fit`);
});

it.each(valueSets)('%s: every custom resource fits the schema of its maker', async (values) => {
  const { objects } = await render({ values: values as ValueSet });
  for (const one of objects.filter(isCustom)) {
    const Model = custom[one.kind];
    if (Model === undefined) throw new Error(`no schema for ${one.kind}`);
    expect(() => new Model(one).validate(), `${one.kind} ${one.metadata.name}`).not.toThrow();
  }
});

it('tries each kind of custom resource at least once', async () => {
  const kinds = new Set<string>();
  for (const values of valueSets)
    for (const one of (await render({ values })).objects) if (isCustom(one)) kinds.add(one.kind);
  expect([...kinds].sort()).toEqual(Object.keys(custom).sort());
});

it('the schemas refuse what does not fit', () => {
  const broken = {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: { name: 'a' },
    spec: { secretName: 'a' },
  };
  expect(() => new (custom.Certificate as NonNullable<(typeof custom)[string]>)(broken).validate()).toThrow(
    /issuerRef/,
  );
});
