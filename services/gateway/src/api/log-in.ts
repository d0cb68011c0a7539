import { LogInService } from '@aegis/contracts/aegis/operator/v1/operator';
import { AegisError } from '@aegis/errors';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import type { Accounts } from '../flows/accounts.ts';

/** How the `aegis` command comes by an account's token. `caller`: its address. */
export const logInService = (accounts: Accounts | null): LocalService => {
  const known = (): Accounts => {
    if (accounts === null) throw new AegisError('ACCOUNTS_NOT_USED');
    return accounts;
  };
  return serviceOf(LogInService, {
    begin: async () => {
      const { verificationUri: page, deviceCode, expiresIn: seconds, interval } = await known().beginLogin();
      return { page, deviceCode, seconds, interval };
    },
    collect: async ({ deviceCode }, { caller }) => {
      const tokens = await known().collectLogin(deviceCode, caller);
      return { tokens: tokens ?? undefined };
    },
    renew: ({ refreshToken }, { caller }) => known().renew(refreshToken, caller),
  });
};
