import { type DevPki, openDevPki, readTls, type TlsMaterial } from '@aegis/service-kit';
import { temporaryFolder } from './temporary-folder.ts';

export interface TestPki extends DevPki {
  /** A certificate for a server or client of this name, good for localhost and 127.0.0.1, already read. */
  material(name: string): Promise<TlsMaterial>;
  remove(): Promise<void>;
}

/** A fresh authority in a temporary folder. */
export const testPki = async (): Promise<TestPki> => {
  const folder = await temporaryFolder('pki');
  const pki = await openDevPki(folder.path);
  return {
    ...pki,
    material: async (name) => readTls(await pki.issue({ name, hosts: [name, 'localhost', '127.0.0.1', '::1'] })),
    remove: folder.remove,
  };
};
