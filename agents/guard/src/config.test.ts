import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseConfig } from '@aegis/service-kit';
import { temporaryFolder } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { loadPolicy, policyFile } from './config.ts';

const parse = (text: string) => parseConfig(text, policyFile, 'policy.yaml');

describe('the policy file', () => {
  it('parses its own example, with the trusted entities it names', () => {
    const { policy, trusted } = loadPolicy(join(import.meta.dirname, '../policy.example.yaml'));
    expect(policy).toMatchObject({
      apps: ['my-hospital/ecg-model'],
      runs: [1234567890123456789n],
      requireSignedApp: true,
      requireMasking: true,
      floors: { cohort: 3, survivors: 3, colluders: 0.1 },
      leastNoise: 0.5,
      noiseBudget: { epsilon: 8, delta: 1e-5 },
      metrics: [
        { name: 'loss', min: 0, max: 100 },
        { name: 'accuracy*', min: 0, max: 1 },
      ],
      localNoise: { clip: 1, epsilon: 8, delta: 1e-5 },
      errorDetails: false,
    });
    expect([...trusted.keys()]).toEqual(['model-review-board']);
  });

  it('lets nothing leave that is not named: no metric, no words of errors, no first model', () => {
    expect(parse('apps: [a/b]')).toMatchObject({ metrics: [], 'error-details': false, kinds: ['train', 'evaluate'] });
  });

  it.each([
    ['an unknown key', 'apps: [a]\nrequire-maskin: true', /require-maskin is not a known key/],
    ['an unknown key below', 'apps: [a]\nlimits: { update-mb: 3 }', /limits.update-mb is not a known key/],
    ['no apps', 'require-masking: false', /apps/],
    ['an empty list of apps', 'apps: []', /apps/],
    ['a run id that YAML made a number of', 'apps: [a]\nruns: [1234567890123456789]', /runs\[0\]/],
    ['a hash that is none', 'apps: [a]\napp-hashes: [abc]', /app-hashes\[0\]: must be a SHA-256/],
    ['an unknown kind', 'apps: [a]\nkinds: [test]', /kinds\[0\]/],
    ['a cohort of one', 'apps: [a]\nmasking: { cohort: 1, survivors: 1 }', /masking.cohort/],
    ['more survivors than nodes', 'apps: [a]\nmasking: { survivors: 4 }', /survivors is above cohort/],
    ['a cohort that all colludes', 'apps: [a]\nmasking: { colluders: 1 }', /masking.colluders/],
    ['noise below nothing', 'apps: [a]\nmasking: { noise-multiplier: -1 }', /masking.noise-multiplier/],
    ['an unknown floor', 'apps: [a]\nmasking: { threshold: 3 }', /masking.threshold is not a known key/],
    ['bounds the wrong way round', 'apps: [a]\nmetrics: [{ name: loss, min: 2, max: 1 }]', /min is above max/],
    ['a signature without anybody to trust', 'apps: [a]\nrequire-signed-app: true', /trusted-entities/],
    ['noise without a clip', 'apps: [a]\nlocal-noise: { sigma: 1 }', /local-noise: must have clip/],
    ['noise twice', 'apps: [a]\nlocal-noise: { clip: 1, sigma: 1, epsilon: 1, delta: 0.1 }', /local-noise/],
    ['a delta of 1', 'apps: [a]\nlocal-noise: { clip: 1, epsilon: 1, delta: 1 }', /local-noise/],
    ['a file that is no YAML', 'apps: [a', /policy.yaml/],
  ])('refuses %s', (_name, text, complaint) => {
    expect(() => parse(text)).toThrow(complaint);
  });

  it('refuses a trusted entity whose key is not one', async () => {
    const folder = await temporaryFolder('policy');
    await writeFile(join(folder.path, 'entities.yaml'), 'board: "ssh-rsa AAAA"\n');
    await writeFile(
      join(folder.path, 'policy.yaml'),
      'apps: [a]\nrequire-signed-app: true\ntrusted-entities: entities.yaml\n',
    );
    expect(() => loadPolicy(join(folder.path, 'policy.yaml'))).toThrow(/board: it is not an ssh-ed25519 public key/);
    await folder.remove();
  });
});
