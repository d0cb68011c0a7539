// What the chart asks of cert-manager and KEDA.
import { expect, it } from 'vitest';
import { render } from './render.ts';

it('the certificate of the port that nodes call has addresses where clients look for them', async () => {
  const hosts = ['fl.example.org', '192.0.2.7', '2001:db8::7'];
  const rendered = await render({ set: { 'certificates.mode': 'cert-manager', 'gateway.tls.hosts': hosts } });
  expect(rendered.get('Certificate', 'aegis-edge').spec).toMatchObject({
    dnsNames: ['aegis-gateway.learning.svc', 'fl.example.org'],
    ipAddresses: ['192.0.2.7', '2001:db8::7'],
  });
  const named = await render({ values: 'production' });
  expect(named.get('Certificate', 'aegis-edge').spec.ipAddresses).toBeUndefined();
});

it('gateways are taken away as slowly by KEDA as by an HPA of the chart', async () => {
  const [hpa, keda] = [await render({ values: 'production' }), await render({ values: 'bring-your-own' })];
  const { scaleDown } = hpa.get('HorizontalPodAutoscaler', 'aegis-gateway').spec.behavior;
  expect(scaleDown).toEqual({
    ...{ stabilizationWindowSeconds: 300, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
  });
  const { advanced } = keda.get('ScaledObject', 'fl-gateway').spec;
  expect(advanced.horizontalPodAutoscalerConfig.behavior.scaleDown).toEqual(scaleDown);
});
