import { temporaryFolder, testPki } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { counterFromZero } from './counter-from-zero.ts';
import { createTelemetry } from './create-telemetry.ts';
import { watchCertificate } from './watch-certificate.ts';
import { watchVolume } from './watch-volume.ts';

const shown = (text: string, series: RegExp): number => Number(series.exec(text)?.[1]);

describe('what every service shows', () => {
  it('counts from zero, so that the first event is an increase', async () => {
    const telemetry = createTelemetry({ service: 'aegis-test', version: '1', env: {} });
    const counter = counterFromZero(telemetry.meter, 'aegis_tries', { description: 'Tries' }, [{ outcome: 'failed' }]);
    const series = /^aegis_tries_total\{[^}]*outcome="failed"[^}]*\} (\d+)$/m;
    expect(shown(await telemetry.renderMetrics(), series)).toBe(0);
    counter.add(1, { outcome: 'failed' });
    expect(shown(await telemetry.renderMetrics(), series)).toBe(1);
    await telemetry.shutdown();
  });

  it('shows when the certificate that holds now ends, and NaN for one that cannot be read', async () => {
    const telemetry = createTelemetry({ service: 'aegis-test', version: '1', env: {} });
    const pki = await testPki();
    let pem: string | Buffer = (await pki.material('gateway')).cert;
    watchCertificate(telemetry.meter, 'edge', () => pem);
    const series = /^aegis_certificate_expiry_timestamp_seconds\{[^}]*certificate="edge"[^}]*\} ([\d.e+]+)$/m;
    const ends = shown(await telemetry.renderMetrics(), series) - Date.now() / 1000;
    expect(ends).toBeGreaterThan(3_600);
    pem = 'no certificate';
    expect(await telemetry.renderMetrics()).toMatch(/^aegis_certificate_expiry_timestamp_seconds\{[^}]*\} NaN$/m);
    await pki.remove();
    await telemetry.shutdown();
  });

  it('shows the room of a state directory, and NaN of one that is gone', async () => {
    const telemetry = createTelemetry({ service: 'aegis-test', version: '1', env: {} });
    await using folder = await temporaryFolder('volume');
    watchVolume(telemetry.meter, 'aggregator', folder.path);
    watchVolume(telemetry.meter, 'issuer', `${folder.path}/none`);
    const text = await telemetry.renderMetrics();
    const of = (name: string) => shown(text, new RegExp(`^${name}\\{[^}]*of="aggregator"[^}]*\\} ([\\d.e+]+)$`, 'm'));
    expect(of('aegis_state_size_bytes')).toBeGreaterThanOrEqual(of('aegis_state_available_bytes'));
    expect(of('aegis_state_available_bytes')).toBeGreaterThan(0);
    expect(text).toMatch(/^aegis_state_available_bytes\{[^}]*of="issuer"[^}]*\} NaN$/m);
    await telemetry.shutdown();
  });
});
