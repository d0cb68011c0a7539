import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bill, defaults, table } from '../cost.ts';
import { blocks, describeFolder, folders } from '../readme.ts';

describe('README of modules and examples', () => {
  test.for(folders())('%s is what readme.ts writes', (folder) => {
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toContain(describeFolder(folder));
  });

  test('every variable and output has a description', () => {
    for (const folder of folders()) expect(describeFolder(folder), folder).not.toMatch(/^\| `\w+` \|\s*\|/m);
  });

  test('values over several lines, heredocs and defaults', () => {
    const text = [
      'variable "models" {',
      '  description = <<-TEXT',
      '    Life of',
      '    models.',
      '  TEXT',
      '  type = object({',
      '    days = optional(number, 90)',
      '    lock = optional(object({ mode = string }))',
      '  })',
      '  default = {}',
      '',
      '  validation {',
      '    condition     = true',
      '    error_message = "no"',
      '  }',
      '}',
      'output "it" {',
      '  description = "What \\"it\\" is."',
      '  value       = 1',
      '}',
    ].join('\n');
    expect(blocks('variable', text)).toEqual([
      {
        name: 'models',
        attributes: {
          description: 'Life of models.',
          type: 'object({ days = optional(number, 90) lock = optional(object({ mode = string })) })',
          default: '{}',
        },
      },
    ]);
    expect(blocks('output', text)[0]?.attributes.description).toBe('What "it" is.');
  });

  test('a variable that is not in the README is noticed', () => {
    const folder = mkdtempSync(join(tmpdir(), 'aegis-readme-'));
    writeFileSync(join(folder, 'main.tf'), 'variable "new" {\n  description = "New."\n  type        = string\n}\n');
    expect(describeFolder(folder)).toContain('| `new` | New. | `string` | required |');
    rmSync(folder, { recursive: true });
  });
});

describe('cost', () => {
  test('the table in README.md is what cost.ts computes', () => {
    expect(readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')).toContain(table(defaults()));
  });

  test('spot and autoscaling save what the target asks for', () => {
    expect(bill(defaults()).cluster.saved).toBeGreaterThanOrEqual(0.35);
  });

  test('by hand: two nodes at the peak, one of them always', () => {
    const a = {
      ...defaults(),
      runs: 1,
      sites: 1000,
      parameters: 1e6,
      unmask: 100,
      gateway: 10,
      aggregator: 15,
      finishSeconds: 100,
      cores: 2,
      busy: 0.5,
      base: 1,
      lag: 1,
      month: 100,
      hours: 10,
      onDemand: 1,
      spot: 0.5,
      disk: 10,
    };
    // 4 GB × 25 s + 100 s = 200 s in 100 s: 2 cores, each node gives one.
    const b = bill(a);
    expect([b.peakCores, b.peakNodes]).toEqual([2, 2]);
    expect(b.lines.slice(0, 3).map(({ fixed, scaled }) => [fixed, scaled])).toEqual([
      [200, 100],
      [0, 5],
      [20, 11],
    ]);
    expect(b.dataOut).toBeCloseTo(4 * 10 * 0.09);
  });

  test('a load that fits the nodes that always run saves nothing', () => {
    expect(bill({ ...defaults(), runs: 1, sites: 2 }).cluster.saved).toBe(0);
  });
});
