// The graph of who may call whom, as the NetworkPolicies say it, against the split of knowledge in the design: the aggregator never hears secagg's relay
// partners, nobody but NATS' users reaches NATS, and so on. No cluster here enforces policies; this reads them as one would.
import { expect, it } from 'vitest';
import { type Any, Rendered, render } from './render.ts';

const parts = ['gateway', 'aggregator', 'secagg', 'privacy-accountant', 'issuer', 'nats', 'test'] as const;
const ports = [53, 4222, 4318, 6222, 7443, 7444, 7445, 7446, 8222, 8443, 9464];
type Peer = { labels: Record<string, string> } | 'prometheus' | 'dns' | 'world';

const base = { 'app.kubernetes.io/name': 'aegis', 'app.kubernetes.io/instance': 'aegis' };
const pod = (part: string) => ({ labels: { ...base, 'app.kubernetes.io/component': part } });
const matches = (selector: Any, labels: Record<string, string>): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);

const isPeer = (rule: Any[] | undefined, peer: Peer): boolean => {
  // No list, or an empty one: everybody.
  if (rule === undefined || rule.length === 0) return true;
  return rule.some(({ podSelector, namespaceSelector }) => {
    const space = namespaceSelector?.matchLabels['kubernetes.io/metadata.name'];
    if (peer === 'prometheus') return space === 'monitoring';
    if (peer === 'dns') return space === 'kube-system';
    if (peer === 'world') return false;
    return podSelector !== undefined && namespaceSelector === undefined && matches(podSelector, peer.labels);
  });
};
const isPort = (rule: Any, port: number): boolean =>
  rule.ports === undefined || rule.ports.some((one: Any) => one.port === port);

class Policies {
  readonly #policies: Any[];
  constructor(rendered: Rendered) {
    this.#policies = rendered.ofKind('NetworkPolicy').map((one) => one.spec);
  }
  #of(labels: Record<string, string>, type: string): Any[] {
    return this.#policies.filter((one) => one.policyTypes.includes(type) && matches(one.podSelector, labels));
  }
  lets(from: Peer, to: Peer, port: number): boolean {
    const out = typeof from === 'string' || this.#allows(this.#of(from.labels, 'Egress'), 'egress', 'to', to, port);
    return (
      out && (typeof to === 'string' || this.#allows(this.#of(to.labels, 'Ingress'), 'ingress', 'from', from, port))
    );
  }
  #allows(policies: Any[], rules: string, key: string, peer: Peer, port: number): boolean {
    if (policies.length === 0) return true;
    return policies.some((one) =>
      (one[rules] ?? []).some((rule: Any) => isPeer(rule[key], peer) && isPort(rule, port)),
    );
  }
}

const graph = (policies: Policies): string[] => {
  const edges: string[] = [];
  const named: [string, Peer][] = [
    ...parts.map((part) => [part, pod(part)] as [string, Peer]),
    ['prometheus', 'prometheus'],
    ['world', 'world'],
    ['dns', 'dns'],
  ];
  for (const [from, one] of named)
    for (const [to, other] of named)
      for (const port of ports)
        if (!(typeof one === 'string' && typeof other === 'string') && policies.lets(one, other, port))
          edges.push(`${from} → ${to}:${port}`);
  return edges.sort();
};

const inside = [
  ...['aggregator:7443', 'secagg:7445', 'privacy-accountant:7444', 'issuer:7446', 'nats:4222'].map(
    (to) => `gateway → ${to}`,
  ),
  ...['secagg:7445', 'privacy-accountant:7444', 'nats:4222'].map((to) => `aggregator → ${to}`),
  ...['secagg', 'privacy-accountant'].map((from) => `${from} → nats:4222`),
  ...[
    'nats → nats:6222',
    'test → gateway:8443',
    'world → gateway:8443',
    'dns → gateway:8443',
    'prometheus → gateway:8443',
  ],
  ...parts.map((part) => `${part} → dns:53`),
];

it('lets those talk who have to, and nobody else', async () => {
  const rendered = await render({ values: 'production', set: { 'telemetry.otlpEndpoint': '' } });
  const scraped = ['gateway', 'aggregator', 'secagg', 'privacy-accountant', 'issuer'].map(
    (to) => `prometheus → ${to}:9464`,
  );
  expect(graph(new Policies(rendered))).toEqual([...inside, ...scraped].sort());
});

it('lets nobody scrape when nobody is named, and has no rules for what is not installed', async () => {
  const rendered = await render({ set: { 'secagg.enabled': false } });
  const left = inside.filter((edge) => !edge.includes('secagg') && !edge.includes('issuer'));
  const policies = new Policies(rendered);
  const edges = graph(policies).filter((edge) => !/^(secagg|issuer) | → (secagg|issuer):/.test(edge));
  expect(edges).toEqual(left.sort());
  // The default denies whatever carries the release's labels, also what has no policy of its own.
  expect(policies.lets(pod('stranger'), pod('nats'), 4222)).toBe(false);
  expect(policies.lets('world', pod('stranger'), 8443)).toBe(false);
});

it('can keep the gateway to some callers', async () => {
  const policies = new Policies(await render({ values: 'bring-your-own', release: 'aegis' }));
  expect(policies.lets('world', pod('gateway'), 8443)).toBe(false);
  expect(policies.lets(pod('aggregator'), pod('gateway'), 8443)).toBe(false);
});

it('this test would notice a hole', async () => {
  const rendered = await render({ values: 'production' });
  const open = { spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }, kind: 'NetworkPolicy' };
  const policies = new Policies(new Rendered([...rendered.objects, open]));
  expect(policies.lets(pod('gateway'), pod('nats'), 6222)).toBe(false); // its own egress still says no
  expect(policies.lets('world', pod('nats'), 4222)).toBe(true);
});
