import { revokeHolder } from '../domain/holder.ts';
import type { Ground } from './ground.ts';

/** False: nothing was ever certified for this name. */
export const revoke = ({ register, turns, clock, log, counted }: Ground, name: string): Promise<boolean> =>
  turns.take(async () => {
    const holder = register.of(name);
    if (holder === null) return false;
    const revoked = revokeHolder(holder, clock.now());
    if (revoked !== holder) {
      register.write(revoked);
      counted.revoked();
      log.info({ name }, 'certificates revoked');
    }
    return true;
  });
