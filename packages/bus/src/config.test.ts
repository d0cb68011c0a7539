import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseConfig } from '@aegis/service-kit';
import { temporaryFolder } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { natsConfig } from './config.ts';

const config = z.strictObject({ nats: natsConfig });

it('takes a user and the file of its password together or not at all', async () => {
  const folder = await temporaryFolder('bus-config');
  const file = join(folder.path, 'password');
  await writeFile(file, 'open sesame\n');
  const parsed = (more: string) => parseConfig(`nats: { servers: ["nats://127.0.0.1"]${more} }`, config, 'a.yaml').nats;
  expect(parsed('').user).toBeUndefined();
  expect(parsed(`, user: ada, password-file: ${file}`)['password-file']?.reveal()).toBe('open sesame');
  for (const half of [', user: ada', `, password-file: ${file}`])
    expect(() => parsed(half)).toThrow('a.yaml: nats: user and password-file are given together or not at all');
  await folder.remove();
});
