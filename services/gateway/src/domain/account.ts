import { FIRST_OPERATOR, type OperatorIdentity, type OperatorRole } from './operator-access.ts';

/** Who a call of an operator, or of the `flwr` command with accounts, is from. */
export interface Account {
  /** Never given to anybody else: runs belong to it. `oidc:` and the subject, or `token:` and the operator's name. */
  readonly id: string;
  /** For people; the identity provider may change it. */
  readonly name: string;
  /** Whatever one of them allows is allowed; none: nothing is. */
  readonly roles: readonly OperatorRole[];
}

/** How the claims of an ID token become an account. */
export interface ClaimRules {
  /** Claim with the roles or groups: a text or a list of texts. A dot leads into an object, as in `realm_access.roles`. */
  readonly rolesClaim: string;
  /** Which of its values is which role here; others count for nothing. */
  readonly roles: Readonly<Record<string, OperatorRole>>;
  /** Claim with a name for people. */
  readonly nameClaim: string;
}

export type Claims = Readonly<Record<string, unknown>>;

/** OpenID Connect says so (Core 1.0, section 2). */
const LONGEST_SUBJECT = 255;
const LONGEST_NAME = 64;

/** null: it names no subject. */
export const accountOfClaims = (claims: Claims, rules: ClaimRules): Account | null => {
  const { sub } = claims;
  if (typeof sub !== 'string' || sub === '' || sub.length > LONGEST_SUBJECT) return null;
  const named = claims[rules.nameClaim];
  const name =
    typeof named === 'string'
      ? named
          .replaceAll(/[^\x20-\x7e]/g, '?')
          .slice(0, LONGEST_NAME)
          .trim()
      : '';
  const held = valuesOf(claimOf(claims, rules.rolesClaim));
  const roles = held.flatMap((value) =>
    Object.hasOwn(rules.roles, value) ? [rules.roles[value] as OperatorRole] : [],
  );
  return { id: `oidc:${sub}`, name: name === '' ? sub.slice(0, LONGEST_NAME) : name, roles: [...new Set(roles)] };
};

/** For the audit log and logs. The first token's operator has no other name. */
export const actorOfAccount = ({ id, name }: Pick<Account, 'id' | 'name'>): string => {
  if (!id.startsWith('token:')) return `account ${name}`;
  return name === FIRST_OPERATOR ? name : `operator ${name}`;
};

export const accountOfOperator = ({ name, role }: OperatorIdentity): Account => ({
  id: `token:${name}`,
  name,
  roles: [role],
});

/** The whole name first: some providers name claims by addresses. */
const claimOf = (claims: Claims, path: string): unknown => {
  if (Object.hasOwn(claims, path)) return claims[path];
  let found: unknown = claims;
  for (const step of path.split('.')) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined;
    found = (found as Claims)[step];
  }
  return found;
};

const valuesOf = (claim: unknown): string[] =>
  (Array.isArray(claim) ? claim : [claim]).filter((value): value is string => typeof value === 'string');
