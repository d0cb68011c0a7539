import { generateKeyPairSync } from 'node:crypto';
import { createIssuer, createRoot, createSigningRequest, silentLogger } from '@aegis/service-kit';
import { FakeClock } from '@aegis/testkit';
import { type Ground, Turns } from '../flows/ground.ts';
import { MemoryRegister } from '../store/memory.ts';

export const WEEK_SECONDS = 7 * 86_400;

/** A federation with an issuer on memory, and a clock that stands still. */
export const memoryIssuer = async ({ issuerDays = 90 } = {}) => {
  const clock = new FakeClock();
  const root = await createRoot('hospitals', 3653, clock.now());
  const { notAfter, ...authority } = await createIssuer(root, { name: 'edge', days: issuerDays }, clock.now());
  const issued: string[] = [];
  const register = new MemoryRegister();
  const ground: Ground = {
    ...{
      authority,
      former: [],
      notAfter,
      lifeSeconds: WEEK_SECONDS,
      register,
      turns: new Turns(),
      clock,
      log: silentLogger,
    },
    counted: { issued: (what) => void issued.push(what), revoked: () => void issued.push('revoked') },
  };
  return { ground, clock, root, register, issued };
};

export const newKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();

export const requestFor = (keyPem: string): Promise<Buffer> => createSigningRequest(keyPem);
