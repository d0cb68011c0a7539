import { join } from 'node:path';
import { loadConfig, parseConfig } from '@aegis/service-kit';
import { temporaryFolder } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { processConfig, readFederationRoots, secaggConfig } from './config.ts';

describe('the configuration', () => {
  it('reads the example file', () => {
    const config = loadConfig(join(import.meta.dirname, '../config.example.yaml'), processConfig);
    expect(config.secagg).toEqual({ 'federation-root': '/etc/aegis/federation-root.pem' });
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

  it('refuses a file without a root in it, or that is not there', async () => {
    const folder = await temporaryFolder('secagg');
    for (const file of [join(import.meta.dirname, 'config.ts'), join(folder.path, 'none')]) {
      expect(() => readFederationRoots(file)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    }
    await folder.remove();
  });
});
