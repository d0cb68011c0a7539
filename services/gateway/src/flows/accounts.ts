import { AegisError } from '@aegis/errors';
import type { Logger } from '@aegis/service-kit';
import { type Account, accountOfClaims, accountOfOperator, type ClaimRules } from '../domain/account.ts';
import { accountMay, type ControlDeed } from '../domain/control-access.ts';
import type { AccountTokens, IdentityProvider, PendingLogin } from '../peers/contract.ts';
import type { AuditTrail } from './audit-trail.ts';
import type { Operators } from './operators.ts';

export interface AccountParts {
  /** Their tokens count here, too. */
  readonly operators: Pick<Operators, 'of'>;
  /** null: there are operators' tokens only, and nothing to log in at. */
  readonly provider: { readonly peer: IdentityProvider; readonly rules: ClaimRules } | null;
  readonly audit: Pick<AuditTrail, 'note' | 'noteSoon'>;
  readonly log: Logger;
}

/** A longer text is no token of anybody; gRPC carries no longer ones either. */
const LONGEST_TOKEN = 16_384;
/** Commands want two tokens, and providers need not give the second: this one opens and renews nothing. */
const NO_REFRESH_TOKEN = 'none';

/** What a command showed; `renewed` hands it its new tokens. */
export interface Shown {
  readonly token: string;
  /** "" where renewing is left to the command. */
  readonly refreshToken: string;
  readonly peer: string;
  renewed(tokens: AccountTokens): void;
}

/** Who may use the `flwr` command where it needs an account, and the operator's door besides those with tokens: whoever an identity provider vouches for, or an operator's token. */
export class Accounts {
  readonly #parts: AccountParts;

  constructor(parts: AccountParts) {
    this.#parts = parts;
  }

  /** Whose call it is, once their roles allow what it is for. ACCOUNT_UNAUTHENTICATED, ACCOUNT_FORBIDDEN, IDENTITY_PROVIDER_FAILED. */
  async admit(shown: Shown, deed: ControlDeed): Promise<Account> {
    const account = await this.#of(shown);
    if (!accountMay(account, deed)) this.refuse(account, shown.peer, deed);
    return account;
  }

  /** Whose token it is, whatever their roles allow. ACCOUNT_UNAUTHENTICATED, IDENTITY_PROVIDER_FAILED. Nothing is renewed: that is the caller's. */
  identify(token: string): Promise<Account> {
    return this.#of({ token, refreshToken: '', peer: '', renewed: () => {} });
  }

  /** Written down under the account's name, beside the line of the door, which knows the address only. */
  refuse(account: Account, peer: string, what: string): never {
    const roles = rolesOf(account);
    const { audit } = this.#parts;
    audit.noteSoon({ event: 'account-refused', actor: actorOf(account, peer), subject: what, detail: roles });
    throw new AegisError('ACCOUNT_FORBIDDEN', `${account.name} (${roles}) may not: ${what}.`);
  }

  /** LOGIN_NOT_OFFERED without a provider. */
  beginLogin(): Promise<PendingLogin> {
    return this.#provider().peer.beginLogin();
  }

  /** null: not approved yet. LOGIN_REFUSED when it will not be, or when the account has no role here. */
  async collectLogin(deviceCode: string, peer: string): Promise<AccountTokens | null> {
    const { audit } = this.#parts;
    const login = await this.#provider().peer.collect(deviceCode);
    if (login.state === 'pending') return null;
    if (login.state === 'refused')
      throw new AegisError('LOGIN_REFUSED', `The identity provider says ${said(login.why)}.`);
    const account = await this.#ofIdToken(login.tokens.idToken);
    const subject = `account ${account.id}`;
    if (account.roles.length === 0) {
      audit.noteSoon({ event: 'account-refused', actor: actorOf(account, peer), subject, detail: rolesOf(account) });
      throw new AegisError('LOGIN_REFUSED', `${account.name} has no role here.`);
    }
    await audit.note({ event: 'account-logged-in', actor: actorOf(account, peer), subject, detail: rolesOf(account) });
    return withBoth(login.tokens);
  }

  /** ACCOUNT_UNAUTHENTICATED when the provider renews it no more. Roles are those of now. */
  async renew(refreshToken: string, peer: string): Promise<AccountTokens> {
    const { audit } = this.#parts;
    const tokens = isText(refreshToken) ? await this.#provider().peer.renew(refreshToken, peer) : null;
    if (tokens === null) throw new AegisError('ACCOUNT_UNAUTHENTICATED', 'The log-in is over.');
    const account = await this.#ofIdToken(tokens.idToken);
    const subject = `account ${account.id}`;
    await audit.note({ event: 'account-renewed', actor: actorOf(account, peer), subject, detail: rolesOf(account) });
    return withBoth(tokens);
  }

  async #of({ token, refreshToken, peer, renewed }: Shown): Promise<Account> {
    const { operators, provider } = this.#parts;
    if (!isText(token)) throw new AegisError('ACCOUNT_UNAUTHENTICATED', 'It shows none.');
    const operator = operators.of(token);
    if (operator !== null) return accountOfOperator(operator);
    if (provider === null) throw new AegisError('ACCOUNT_UNAUTHENTICATED', 'It is the token of no operator.');
    const verdict = await provider.peer.judge(token);
    // Only a genuine token that is over is renewed: strangers must not make us ask the provider.
    if (verdict.state !== 'expired' || refreshToken === '') return this.#judged(verdict);
    const tokens = await this.renew(refreshToken, peer);
    const account = await this.#ofIdToken(tokens.idToken);
    renewed(tokens);
    return account;
  }

  async #ofIdToken(idToken: string): Promise<Account> {
    return this.#judged(await this.#provider().peer.judge(idToken));
  }

  #judged(verdict: Awaited<ReturnType<IdentityProvider['judge']>>): Account {
    if (verdict.state === 'expired') throw new AegisError('ACCOUNT_UNAUTHENTICATED', 'The log-in is over.');
    const account = verdict.state === 'good' ? accountOfClaims(verdict.claims, this.#provider().rules) : null;
    if (account !== null) return account;
    const why = verdict.state === 'bad' ? verdict.why : 'it names no subject';
    this.#parts.log.info({ why }, 'a token was refused');
    throw new AegisError('ACCOUNT_UNAUTHENTICATED', 'Its token does not count here.');
  }

  #provider(): NonNullable<AccountParts['provider']> {
    if (this.#parts.provider === null) throw new AegisError('LOGIN_NOT_OFFERED');
    return this.#parts.provider;
  }
}

export const actorOf = ({ name }: Pick<Account, 'name'>, peer: string): string => `account ${name} at ${peer}`;

const rolesOf = ({ roles }: Account): string => (roles.length === 0 ? 'no role' : roles.join(', '));

const isText = (token: string): boolean => token !== '' && token.length <= LONGEST_TOKEN;

/** An error code of OAuth, from somebody else. */
const said = (why: string): string => why.replaceAll(/[^a-z_]/g, '').slice(0, 40);

const withBoth = ({ idToken, refreshToken }: AccountTokens): AccountTokens => ({
  idToken,
  refreshToken: refreshToken === '' ? NO_REFRESH_TOKEN : refreshToken,
});
