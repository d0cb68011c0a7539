// What must be so of every pod, whatever the values are.
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Any, render, type ValueSet, valueSets } from './render.ts';

const all = valueSets.map((values) => [values] as [ValueSet]);
const containersOf = (spec: Any): Any[] => [...spec.containers, ...(spec.initContainers ?? [])];

it.each(all)('%s: pods fit the restricted pod security standard, and more', async (values) => {
  for (const { name, spec } of (await render({ values })).pods()) {
    expect(spec, name).toMatchObject({
      ...{ automountServiceAccountToken: false, enableServiceLinks: false },
      securityContext: {
        ...{ runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001 },
        ...{ fsGroupChangePolicy: 'OnRootMismatch', seccompProfile: { type: 'RuntimeDefault' } },
      },
    });
    for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) expect(spec[key], name).toBeUndefined();
    for (const container of containersOf(spec)) {
      expect(container.securityContext, name).toEqual({
        ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      });
      expect(container.resources.requests, name).toMatchObject({ cpu: expect.anything(), memory: expect.anything() });
      expect(container.resources.limits, name).toMatchObject({ memory: expect.anything() });
      expect(container.image, name).not.toMatch(/:latest$|^[^:@]+$/);
    }
  }
});

it.each(all)('%s: every service is probed, alive from the start and ready when it says so', async (values) => {
  for (const { name, component, spec } of (await render({ values })).pods()) {
    if (component === 'test') continue;
    const [container] = spec.containers;
    const paths = ['startupProbe', 'readinessProbe', 'livenessProbe'].map((probe) => container[probe].httpGet.path);
    const nats = ['/healthz?js-enabled-only=true', '/healthz?js-server-only=true', '/healthz?js-enabled-only=true'];
    expect(paths, name).toEqual(component === 'nats' ? nats : ['/livez', '/readyz', '/livez']);
    // The probes' port is one that the container has.
    const ports = container.ports.map((port: Any) => port.name);
    expect(ports, name).toContain(container.readinessProbe.httpGet.port);
    // No restart for a slow moment: half a minute at least.
    expect(container.livenessProbe.periodSeconds * container.livenessProbe.failureThreshold).toBeGreaterThanOrEqual(30);
  }
});

it.each(all)('%s: a pod is gone within the two minutes of a spot notice, and drains before', async (values) => {
  const rendered = await render({ values });
  for (const { name, component, spec } of rendered.pods()) {
    expect(spec.terminationGracePeriodSeconds, name).toBeLessThanOrEqual(110);
    if (component === 'test' || component === 'nats') continue;
    const file = parse(rendered.get('ConfigMap', name).data['config.yaml']) as Any;
    const servesOn = file['drain-after-seconds'] ?? 0;
    expect(spec.terminationGracePeriodSeconds - servesOn, name).toBeGreaterThanOrEqual(20);
    // Long enough for the probe to notice, and for kube-proxy to act on it.
    const { periodSeconds, failureThreshold } = spec.containers[0].readinessProbe;
    if (servesOn > 0) expect(servesOn, name).toBeGreaterThan(periodSeconds * failureThreshold + 1);
    if (component === 'gateway') expect(servesOn, name).toBeGreaterThan(0);
  }
});

it.each(all)('%s: what is mounted is there, and nothing else', async (values) => {
  for (const { name, spec } of (await render({ values })).pods()) {
    const claimed = name.endsWith('-gateway') ? [] : ['state'];
    const volumes = (spec.volumes ?? []).map((volume: Any) => volume.name);
    for (const { name: mount } of spec.containers[0].volumeMounts ?? [])
      expect([...volumes, ...claimed], name).toContain(mount);
    for (const volume of volumes) {
      const mounts = (spec.containers[0].volumeMounts ?? []).map((mount: Any) => mount.name);
      expect(mounts, name).toContain(volume);
    }
  }
});

it.each(all)('%s: each has its own service account, disruption budget and selector', async (values) => {
  const rendered = await render({ values });
  const accounts = new Set<string>();
  for (const workload of rendered.workloads()) {
    const { name } = workload.metadata;
    const { matchLabels } = workload.spec.selector;
    expect(workload.spec.template.metadata.labels, name).toMatchObject(matchLabels);
    const budget = rendered.get('PodDisruptionBudget', name);
    expect(budget.spec).toMatchObject({ maxUnavailable: 1, selector: { matchLabels } });
    const account = workload.spec.template.spec.serviceAccountName;
    expect(accounts.has(account), account).toBe(false);
    accounts.add(account);
    if (account === name) expect(rendered.get('ServiceAccount', name).automountServiceAccountToken).toBe(false);
  }
});

it('a secret that only one service needs is mounted by that one alone', async () => {
  const users = new Map<string, string[]>();
  for (const { name, spec } of (await render({ values: 'production' })).pods()) {
    for (const { secret } of spec.volumes ?? []) {
      if (secret !== undefined) users.set(secret.secretName, [...(users.get(secret.secretName) ?? []), name]);
    }
  }
  expect(Object.fromEntries(users)).toEqual({
    'aegis-gateway-tls': ['aegis-gateway'],
    'aegis-edge-tls': ['aegis-gateway'],
    'aegis-gateway-keys': ['aegis-gateway'],
    'aegis-federation': ['aegis-gateway', 'aegis-secagg'],
    'aegis-secagg-tls': ['aegis-secagg'],
    'aegis-aggregator-tls': ['aegis-aggregator'],
    'aegis-privacy-accountant-tls': ['aegis-privacy-accountant'],
    'aegis-issuer-tls': ['aegis-issuer'],
    'aegis-issuer-authority': ['aegis-issuer'],
    'aegis-nats-tls': ['aegis-nats'],
  });
});

it('a changed configuration rolls the pods that have it, and no others', async () => {
  const sums = async (set: Record<string, unknown>) =>
    new Map(
      (await render({ set }))
        .workloads()
        .map((one) => [one.metadata.name, one.spec.template.metadata.annotations['checksum/config']]),
    );
  const [before, after] = [await sums({}), await sums({ 'aggregator.leaseSeconds': 20 })];
  const changed = [...before].filter(([name, sum]) => after.get(name) !== sum).map(([name]) => name);
  expect(changed).toEqual(['aegis-aggregator']);
});

it('an NLB passes TLS through and keeps the address of the caller', async () => {
  const { spec, metadata } = (await render({ values: 'production' })).get('Service', 'aegis-gateway');
  expect(spec).toMatchObject({ type: 'LoadBalancer', loadBalancerClass: 'service.k8s.aws/nlb' });
  const prefix = 'service.beta.kubernetes.io/aws-load-balancer-';
  expect(metadata.annotations[`${prefix}backend-protocol`]).toBe('tcp');
  expect(metadata.annotations[`${prefix}target-group-attributes`]).toContain('preserve_client_ip.enabled=true');
  for (const value of Object.values(metadata.annotations)) expect(value).toBeTypeOf('string');
});

it('where a pod may go: servers of NATS never together, the rest rather apart, on one node anywhere', async () => {
  const spread = async (values: ValueSet) =>
    new Map((await render({ values })).pods().map(({ component, spec }) => [component, spec]));
  const many = await spread('production');
  expect(many.get('nats').affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution).toHaveLength(1);
  expect(many.get('gateway').affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution).toHaveLength(1);
  for (const [name, spec] of many) expect(spec.topologySpreadConstraints, name).toHaveLength(1);
  for (const [name, spec] of await spread('single-node')) expect(spec.affinity, name).toBeUndefined();
});
