import { createTelemetry } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { refusedConnections } from './refused-connections.ts';

describe('refused connections', () => {
  it('are all counted, and warned of once in ten seconds with the address and how many more there were', async () => {
    const telemetry = createTelemetry({ service: 'test', version: '0', env: {} });
    const lines: object[] = [];
    const told: string[] = [];
    let now = 1_000_000;
    const log = { warn: (fields: object) => void lines.push(fields), debug: () => {} };
    const refused = refusedConnections(telemetry, log, {
      now: () => now,
      counted: { refused: (door, { code }) => void told.push(`${door} ${code}`) },
    });
    for (let connection = 0; connection < 5; connection += 1) refused('too-many-from-address', '192.0.2.1');
    now += 10_000;
    refused('too-many', '192.0.2.2');
    expect(lines).toEqual([
      { address: '192.0.2.1', reason: 'too-many-from-address', untold: 0 },
      { address: '192.0.2.2', reason: 'too-many', untold: 4 },
    ]);
    refused('too-fast', '192.0.2.3');
    expect(told).toEqual(['port RATE_LIMIT']);
    const text = await telemetry.renderMetrics();
    expect(text).toMatch(/aegis_gateway_connections_refused_total\{[^}]*reason="too-many-from-address"[^}]*\} 5/);
    await telemetry.shutdown();
  });
});
