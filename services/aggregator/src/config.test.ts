import { join } from 'node:path';
import { loadConfig, parseConfig } from '@aegis/service-kit';
import { describe, expect, it } from 'vitest';
import { aggregatorConfig, processConfig } from './config.ts';

describe('the configuration', () => {
  it('reads the example file', () => {
    const config = loadConfig(join(import.meta.dirname, '../config.example.yaml'), processConfig);
    expect(config.aggregator['state-dir']).toBe('/var/lib/aegis/aggregator');
    expect([config.accountant?.address, config.secagg?.address]).toEqual([['privacy-accountant:7444'], 'secagg:7445']);
    expect(config.listen.callers['aegis.aggregator.v1.Intake']).toEqual(['gateway']);
  });

  it('needs the state directory alone when embedded', () => {
    expect(aggregatorConfig.parse({ 'state-dir': '/s' })).toEqual({
      'state-dir': '/s',
      'lease-seconds': 15,
      'initial-model-bytes': 2 ** 32,
      'parallel-tasks': 64,
    });
  });

  it('refuses an unknown key by its path', () => {
    const read = () => parseConfig('state-dir: /s\nlease-secnods: 3\n', aggregatorConfig, 'file');
    expect(read).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining('lease-secnods') }),
    );
  });
});
