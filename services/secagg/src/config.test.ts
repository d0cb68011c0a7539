import { join } from 'node:path';
import { loadConfig, parseConfig } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { processConfig, secaggConfig } from './config.ts';

describe('the configuration', () => {
  it('reads the example file', () => {
    const config = loadConfig(join(import.meta.dirname, '../config.example.yaml'), processConfig);
    expect(config.secagg).toEqual({
      'federation-root': '/etc/aegis/federation-root.pem',
      'federation-crl': '/etc/aegis/federation-crl.pem',
    });
    expect(config.listen.callers).toEqual({
      'aegis.secagg.v1.Relay': ['gateway'],
      'aegis.secagg.v1.Rounds': ['aggregator'],
    });
  });

  it('needs nothing when embedded, and refuses an unknown key by name', () => {
    expect(secaggConfig.parse({})).toEqual({});
    expect(() => parseConfig('federation-rot: /r\n', secaggConfig, 'file')).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('federation-rot') }),
    );
  });
});
