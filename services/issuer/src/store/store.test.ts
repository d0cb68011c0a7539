import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { conformanceSuite, temporaryFolder } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { type Holder, revokeHolder, withCertificate } from '../domain/holder.ts';
import type { Register } from './contract.ts';
import { MemoryRegister } from './memory.ts';
import { SqliteRegister } from './sqlite.ts';

const certified = { serial: '4711', chain: 'pem', at: 1, notAfter: 2, invitation: 'i' };
const named = (name: string): Holder => withCertificate(null, { name, key: `key of ${name}`, certified });

const registerSuite = conformanceSuite<Register>('Register', (subject) => {
  it('knows what was written last of each name, and nothing of others', () => {
    const register = subject();
    expect([register.of('ada'), register.all()]).toEqual([null, []]);
    register.write(named('bob'));
    register.write(named('ada'));
    register.write(revokeHolder(named('ada'), 7));
    expect(register.of('ada')).toEqual({ ...named('ada'), revokedAt: 7 });
    expect(register.of('bob')).toEqual(named('bob'));
    expect(register.of("bob' OR 1=1")).toBeNull();
    expect(
      register
        .all()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['ada', 'bob']);
  });
});

registerSuite('memory', async () => ({ subject: new MemoryRegister() }));

registerSuite('sqlite', async () => {
  const folder = await temporaryFolder('register');
  const subject = SqliteRegister.open(folder.path);
  return {
    subject,
    end: async () => {
      subject.close();
      await folder.remove();
    },
  };
});

it('in a file outlives the process, is one process’s at a time, and says so when it cannot be read', async () => {
  await using folder = await temporaryFolder('register');
  const first = SqliteRegister.open(folder.path);
  first.write(named('ada'));
  const refused = expect.objectContaining({ code: 'ISSUER_REGISTER' });
  expect(() => SqliteRegister.open(folder.path)).toThrow(refused);
  first.close();
  const second = SqliteRegister.open(folder.path);
  expect(second.of('ada')).toEqual(named('ada'));
  second.close();
  await writeFile(
    join(folder.path, 'register.sqlite'),
    'no database at all, but long enough to be taken for one'.repeat(50),
  );
  expect(() => SqliteRegister.open(folder.path)).toThrow(refused);
});
