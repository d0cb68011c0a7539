import { join } from 'node:path';
import { loadConfig, parseConfig } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { accountantConfig, processConfig } from './config.ts';

describe('the configuration', () => {
  it('reads the example file', () => {
    const config = loadConfig(join(import.meta.dirname, '../config.example.yaml'), processConfig);
    expect(config.accountant['anchor-file']).toBe('/var/lib/aegis-anchor/anchor');
    expect(config.listen.callers['aegis.privacy.v1.Ledger']).toEqual(['aggregator']);
  });

  it('needs the state directory alone when embedded', () => {
    expect(accountantConfig.parse({ 'state-dir': '/s' })).toEqual({ 'state-dir': '/s', 'lease-seconds': 5 });
  });

  it.each([
    ['state-dir: /s\nlease-secnods: 3\n', 'lease-secnods'],
    ['state-dir: /s\naccept-head: yes\n', 'accept-head'],
    ['anchor-file: /a\n', 'state-dir'],
  ])('refuses %j by its path', (text, path) => {
    expect(() => parseConfig(text, accountantConfig, 'file')).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(path) }),
    );
  });
});
