// Wrong values end `helm template`, with the value's path; what cannot work together, in words.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Any, chart, refusal, type ValueSet } from './render.ts';

it.each([
  ['a word for a number', { 'gateway.replicas': 'two' }, "at '/gateway/replicas': got string, want integer"],
  ['an unknown key', { 'gateway.replica': 2 }, "at '/gateway': additional properties 'replica' not allowed"],
  ['an unknown key at the top', { gatway: {} }, "additional properties 'gatway' not allowed"],
  [
    'an unknown key deep inside',
    { 'gateway.service.nlb.foo': 1 },
    "at '/gateway/service/nlb': additional properties 'foo' not allowed",
  ],
  ['a missing value', { 'aggregator.leaseSeconds': null }, "at '/aggregator'"],
  ['an even number of servers', { 'nats.replicas': 2 }, "at '/nats/replicas': value must be one of 1, 3, 5"],
  ['a rule that does not exist', { 'gateway.clientCertificates': 'maybe' }, "at '/gateway/clientCertificates'"],
  [
    'a lease too short to hold',
    { 'aggregator.leaseSeconds': 1 },
    "at '/aggregator/leaseSeconds': minimum: got 1, want 2",
  ],
  ['a size that is none', { 'nats.volume.size': 'big' }, "at '/nats/volume/size'"],
  ['plain text to NATS', { 'nats.external.servers': ['nats://nats:4222'] }, "at '/nats/external/servers/0'"],
  [
    'a drain longer than a spot notice',
    { 'gateway.drain.graceSeconds': 200 },
    "at '/gateway/drain/graceSeconds': maximum",
  ],
  ['an image name that is none', { 'gateway.image.repository': 'Aegis Gateway' }, "at '/gateway/image/repository'"],
])('refuses %s', async (_, set, words) => {
  expect(await refusal({ set })).toContain(words);
});

it.each<[string, ValueSet, Record<string, unknown>, string]>([
  ['three copies on one node', 'single-node', { 'nats.replicas': 3 }, 'nats.replicas: 3 copies need as many nodes'],
  [
    'client certificates without an authority',
    'default',
    { 'gateway.clientCertificates': 'require' },
    'gateway.clientCertificates: require needs federation.secret',
  ],
  [
    'an HPA without metrics',
    'default',
    { 'gateway.autoscaling.enabled': true },
    'set metrics.podMonitor.enabled: true',
  ],
  [
    'an HPA that looks at nothing',
    'production',
    {
      'gateway.autoscaling.openUploads': 0,
      'gateway.autoscaling.bodyBytesPerSecond': 0,
      'gateway.autoscaling.eventLoopLagSeconds': '',
    },
    'gateway.autoscaling: nothing is looked at',
  ],
  [
    'KEDA without Prometheus',
    'bring-your-own',
    { 'metrics.prometheusAddress': '' },
    'metrics.prometheusAddress: keda asks Prometheus',
  ],
  [
    'more pods at least than at most',
    'production',
    { 'gateway.autoscaling.minReplicas': 20 },
    'gateway.autoscaling.minReplicas: 20 is more than maxReplicas',
  ],
  [
    'metrics that nobody may read',
    'production',
    { 'metrics.from': [] },
    'metrics.from: the network policies let nobody scrape',
  ],
  [
    'start_client beside registered nodes',
    'default',
    { 'gateway.join': true },
    'gateway.join: start_client shows no key',
  ],
  [
    'an issuer nobody shows certificates of',
    'default',
    { 'issuer.enabled': true },
    'issuer.enabled: what it issues is shown to the gateway',
  ],
  [
    'an issuer without an authority',
    'production',
    { 'issuer.authority.secret': '' },
    'issuer.authority.secret: name the secret',
  ],
  [
    'two accountants with a volume each',
    'default',
    { 'privacyAccountant.replicas': 2 },
    'privacyAccountant.volume.accessMode: ReadWriteMany',
  ],
  [
    'aggregators that share what one may mount',
    'bring-your-own',
    { 'aggregator.volume.accessMode': 'ReadWriteOnce' },
    'aggregator.volume.existingClaim: several replicas share it',
  ],
  [
    'NATS servers on one volume',
    'default',
    { 'nats.volume.accessMode': 'ReadWriteMany' },
    'nats.volume: every server needs a volume of its own',
  ],
  ['no NATS at all', 'default', { 'nats.enabled': false }, 'nats.external.servers: nats.enabled is false'],
  [
    'two kinds of NATS',
    'bring-your-own',
    { 'nats.enabled': true },
    'nats.external.servers: there is a NATS of the chart',
  ],
  [
    'a load balancer that is none',
    'default',
    { 'gateway.service.nlb.enabled': true },
    'gateway.service.nlb.enabled: gateway.service.type is ClusterIP',
  ],
  [
    'a load balancer that learns too late',
    'production',
    { 'gateway.drain.sleepSeconds': 5 },
    'gateway.drain.sleepSeconds: 5 s',
  ],
  [
    'no time for the drain itself',
    'default',
    { 'gateway.drain.sleepSeconds': 30 },
    'gateway.drain.graceSeconds: 45 s leave no 20 s',
  ],
  [
    'a certificate without a name',
    'default',
    { 'certificates.mode': 'cert-manager' },
    'gateway.tls.hosts: name what nodes call the gateway by',
  ],
  [
    'a store without a name',
    'default',
    { 'secrets.mode': 'external-secrets' },
    'secrets.externalSecrets.storeName: name the store',
  ],
])('refuses %s', async (_, values, set, words) => {
  expect(await refusal({ values, set })).toContain(words);
});

it('the schema knows every value there is and asks for it', () => {
  const values = parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as Any;
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Any;
  const follow = (node: Any): Any => (node.$ref ? schema.$defs[node.$ref.split('/').pop()] : node);
  const compare = (value: Any, node: Any, path: string): void => {
    const { properties } = follow(node);
    if (properties === undefined) return;
    expect(Object.keys(value).sort(), path).toEqual(
      Object.keys(properties)
        .filter((key) => key !== 'global')
        .sort(),
    );
    for (const key of Object.keys(value)) {
      if (value[key] !== null && typeof value[key] === 'object' && !Array.isArray(value[key]))
        compare(value[key], properties[key], `${path}.${key}`);
    }
  };
  compare(values, schema, 'values');
});
