import { z } from 'zod';
import { isLoopback } from './domain/control-access.ts';
import { OPERATOR_ROLES } from './domain/operator-access.ts';

/** Tokens and codes travel to it: in plain text only to this machine, for tests. */
const isGuarded = (issuer: string): boolean => {
  if (!URL.canParse(issuer)) return false;
  const { protocol, hostname } = new URL(issuer);
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')));
};

/** The identity provider whose accounts count, and what they are here. `aegis up --accounts` reads the same keys from a file. */
export const accountsConfig = z.strictObject({
  /** As its tokens name it; `/.well-known/openid-configuration` below it describes it. */
  issuer: z.url({ protocol: /^https?$/ }).refine(isGuarded, 'must begin with https://'),
  /** Under which the gateway is known there, as a client with the device flow. Only ID tokens made for it count. */
  'client-id': z.string().min(1).max(255),
  /** In a file only its owner may read. Without it the client is a public one. */
  'client-secret-file': z.string().min(1).optional(),
  scopes: z
    .string()
    .refine((scopes) => scopes.split(' ').includes('openid'), 'must have openid among them')
    .default('openid profile offline_access'),
  'roles-claim': z.string().min(1).default('groups'),
  'name-claim': z.string().min(1).default('preferred_username'),
  /** Value of the claim: role. */
  roles: z
    .record(z.string().min(1), z.enum(OPERATOR_ROLES))
    .refine((roles) => Object.keys(roles).length > 0, 'names no role, so that nobody could come in'),
  /** How old an ID token may be, whatever it says itself: after that the provider is asked again, and says no if the account is closed. */
  'token-seconds': z.number().int().min(10).max(86_400).default(900),
  /** Between the clocks of the provider and of this machine. */
  'clock-skew-seconds': z.number().int().min(0).max(300).default(30),
});
export type AccountsConfig = z.infer<typeof accountsConfig>;
