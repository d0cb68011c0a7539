import { createHash } from 'node:crypto';
import { AegisError } from '@aegis/errors';
import { type Account, accountOfOperator } from '../domain/account.ts';
import { mayOperate } from '../domain/operator-access.ts';
import type { Accounts } from './accounts.ts';
import type { Admission, Caller } from './admission.ts';
import type { Operators } from './operators.ts';

export interface OperatorParts {
  readonly operators: Pick<Operators, 'of'>;
  /** null: there are operators' tokens only. */
  readonly accounts: Pick<Accounts, 'identify'> | null;
  readonly admission: Pick<Admission, 'arrives' | 'arrivesKnown' | 'proved'>;
}

/** `Bearer TOKEN`, as long as an ID token may be. */
const BEARER = /^Bearer +(\S{1,16384})$/i;

/**
 * Whose call it is, by its `authorization`: an operator with a token of this server at once, an account once the identity provider's keys have
 * been asked. Who shows nobody's pays for having asked. OPERATOR_UNAUTHENTICATED, RATE_LIMIT, IDENTITY_PROVIDER_FAILED.
 */
export const identifyOperator = (
  { operators, accounts, admission }: OperatorParts,
  authorization: unknown,
  from: Caller & { readonly connection: object },
): Account | Promise<Account> => {
  const token = tokenIn(authorization);
  const operator = token === undefined ? null : operators.of(token);
  if (operator !== null) {
    admission.arrivesKnown('control', `operator ${operator.name}`, from.connection);
    return accountOfOperator(operator);
  }
  const claims = token && `id-token ${createHash('sha256').update(token).digest('hex')}`;
  admission.arrives('control', { ...from, claims });
  if (token === undefined || accounts === null) throw new AegisError('OPERATOR_UNAUTHENTICATED');
  return accounts.identify(token).then(
    (account) => {
      // Whoever has no role here is a stranger with an account.
      const principal = `account ${account.id}`;
      if (account.roles.length > 0) admission.proved(from.connection, claims ?? principal, principal);
      return account;
    },
    (caught: unknown) => {
      const { code, detail } = AegisError.from(caught);
      throw code === 'ACCOUNT_UNAUTHENTICATED' ? new AegisError('OPERATOR_UNAUTHENTICATED', detail) : caught;
    },
  );
};

/** Whether what was let in by this header may go on: the token of an operator counts until it is taken back, that of an account until it is over. */
export const stillCounts = (
  operators: OperatorParts['operators'],
  authorization: unknown,
  { id }: Account,
): boolean => {
  const token = tokenIn(authorization);
  return id.startsWith('oidc:') || (token !== undefined && operators.of(token) !== null);
};

const tokenIn = (authorization: unknown): string | undefined =>
  typeof authorization === 'string' ? BEARER.exec(authorization)?.[1] : undefined;

/** OPERATOR_FORBIDDEN, which names the roles. */
export const demandRole = ({ name, roles }: Account, method: string): void => {
  if (mayOperate(roles, method)) return;
  const held =
    roles.length === 0
      ? 'without a role here'
      : `${roles[0] === 'runner' || roles[0] === 'viewer' ? 'a' : 'an'} ${roles.join(' and ')}`;
  throw new AegisError('OPERATOR_FORBIDDEN', `It is ${name}, ${held}.`);
};
