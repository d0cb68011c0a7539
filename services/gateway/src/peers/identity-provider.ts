import { AegisError } from '@aegis/errors';
import type { Clock, Logger, Secret } from '@aegis/service-kit';
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';
import { householdOf } from '../domain/admission.ts';
import { boundedFetch } from './bounded-fetch.ts';
import type { AccountTokens, IdentityProvider, IdTokenVerdict, Login } from './contract.ts';

export interface ProviderOptions {
  readonly issuer: string;
  readonly clientId: string;
  /** undefined: a public client. */
  readonly clientSecret: Secret | undefined;
  readonly scopes: string;
  /** How old an ID token may be. */
  readonly tokenSeconds: number;
  readonly skewSeconds: number;
}

/** Of one request to the provider. */
const TIMEOUT_MS = 5_000;
/**
 * Strangers can make us ask: beyond so many requests at once, of each kind, they are told to come back. Log-ins of strangers keep nobody from
 * renewing, and nobody who needs no request from being judged: the description and the keys are asked for once for all.
 */
const MOST_AT_ONCE = 32;
/** Of renewals, by one address: whoever sends refresh tokens of nobody keeps others from renewing by many addresses only, and those pay for it. */
const MOST_OF_ADDRESS = 4;
type Kind = 'log-in' | 'renewal';
/** How long its own description counts. */
const DESCRIPTION_MS = 600_000;
/** A key that is not known yet is asked for at most so often, and a known one for so long without asking. */
const KEYS = {
  timeoutDuration: TIMEOUT_MS,
  cooldownDuration: 5_000,
  cacheMaxAge: 600_000,
  [customFetch]: boundedFetch,
};
/** Keys of the provider's own, never one secret shared with it, and never none. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** Of RFC 8628, section 3.5: the person is not done. */
const PENDING = new Set(['authorization_pending', 'slow_down']);

interface Asking {
  readonly signal: AbortSignal;
  readonly [oauth.allowInsecureRequests]: boolean;
  readonly [oauth.customFetch]: typeof boundedFetch;
}

interface Described {
  readonly server: oauth.AuthorizationServer;
  readonly auth: oauth.ClientAuth;
  readonly keys: JWTVerifyGetKey;
}

/** The provider behind its discovery document, which is read when it is first needed: a provider that is away keeps no gateway from starting. */
export class OidcProvider implements IdentityProvider {
  readonly #options: ProviderOptions;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #log: Logger;
  readonly #client: oauth.Client;
  /** Loopback only: the configuration takes no other. */
  readonly #isPlain: boolean;
  #described: Promise<Described> | null = null;
  #until = 0;
  #keys: { address: string; set: JWTVerifyGetKey } | undefined;
  /** By address. */
  readonly #renewing = new Map<string, number>();
  readonly #atOnce = { 'log-in': 0, renewal: 0 };

  constructor(options: ProviderOptions, clock: Pick<Clock, 'monotonic'>, log: Logger) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#client = { client_id: options.clientId };
    this.#isPlain = options.issuer.startsWith('http:');
  }

  async beginLogin() {
    const { server, auth } = await this.#describe();
    const scope = { scope: this.#options.scopes };
    const granted = await this.#askAmong('log-in', 'device authorization', async (options) => {
      const response = await oauth.deviceAuthorizationRequest(server, this.#client, auth, scope, options);
      return oauth.processDeviceAuthorizationResponse(server, this.#client, response);
    });
    const { device_code: deviceCode, verification_uri: page, user_code: code, expires_in: expiresIn } = granted;
    // Commands show this one address and nothing else. Where a provider gives none with the code in it, the person reads the code off its end.
    const verificationUri = granted.verification_uri_complete ?? `${page}#user_code=${encodeURIComponent(code)}`;
    return { deviceCode, verificationUri, expiresIn, interval: granted.interval ?? 5 };
  }

  async collect(deviceCode: string): Promise<Login> {
    const { server, auth } = await this.#describe();
    return this.#askAmong('log-in', 'token', async (options) => {
      const response = await oauth.deviceCodeGrantRequest(server, this.#client, auth, deviceCode, options);
      try {
        const tokens = await oauth.processDeviceCodeResponse(server, this.#client, response);
        return { state: 'granted', tokens: tokensOf(tokens, '') };
      } catch (caught) {
        if (!(caught instanceof oauth.ResponseBodyError) || caught.status >= 500) throw caught;
        return PENDING.has(caught.error) ? { state: 'pending' } : { state: 'refused', why: caught.error };
      }
    });
  }

  async renew(refreshToken: string, address: string): Promise<AccountTokens | null> {
    const from = householdOf(address);
    const known = this.#renewing.get(from) ?? 0;
    if (known >= MOST_OF_ADDRESS) throw failed('Too many renew at once from this address.');
    this.#renewing.set(from, known + 1);
    try {
      return await this.#renew(refreshToken);
    } finally {
      const left = (this.#renewing.get(from) ?? 1) - 1;
      if (left > 0) this.#renewing.set(from, left);
      else this.#renewing.delete(from);
    }
  }

  async #renew(refreshToken: string): Promise<AccountTokens | null> {
    const { server, auth } = await this.#describe();
    return this.#askAmong('renewal', 'token', async (options) => {
      const response = await oauth.refreshTokenGrantRequest(server, this.#client, auth, refreshToken, options);
      try {
        return tokensOf(await oauth.processRefreshTokenResponse(server, this.#client, response), refreshToken);
      } catch (caught) {
        // invalid_client is our configuration's fault, and nobody's log-in is over by it.
        if (caught instanceof oauth.ResponseBodyError && caught.error === 'invalid_grant') return null;
        throw caught;
      }
    });
  }

  async judge(idToken: string): Promise<IdTokenVerdict> {
    const { server, keys } = await this.#describe();
    const { clientId, tokenSeconds, skewSeconds } = this.#options;
    try {
      const { payload, protectedHeader } = await jwtVerify(idToken, keys, {
        issuer: server.issuer,
        audience: clientId,
        algorithms: ALGORITHMS,
        clockTolerance: skewSeconds,
        maxTokenAge: tokenSeconds,
        requiredClaims: ['sub', 'exp', 'iat'],
      });
      // Tokens of other kinds may carry the same issuer and audience: of access, of a log-out.
      const { typ } = protectedHeader;
      if (typ !== undefined && typ.toUpperCase() !== 'JWT') return { state: 'bad', why: 'it is no ID token' };
      if (payload.events !== undefined) return { state: 'bad', why: 'it is no ID token' };
      if ((Array.isArray(payload.aud) && payload.aud.length > 1) || payload.azp !== undefined) {
        if (payload.azp !== clientId) return { state: 'bad', why: 'it was made for somebody else' };
      }
      return { state: 'good', claims: payload };
    } catch (caught) {
      if (caught instanceof errors.JWTExpired) return { state: 'expired' };
      if (isVerdict(caught)) return { state: 'bad', why: caught.code };
      throw this.#failure('keys', caught);
    }
  }

  /** As one promise for all who ask meanwhile; one that failed is not kept. */
  #describe(): Promise<Described> {
    if (this.#described !== null && this.#clock.monotonic() < this.#until) return this.#described;
    this.#until = this.#clock.monotonic() + DESCRIPTION_MS;
    const asked = this.#discover();
    this.#described = asked;
    asked.catch(() => {
      if (this.#described === asked) this.#described = null;
    });
    return asked;
  }

  async #discover(): Promise<Described> {
    const issuer = new URL(this.#options.issuer);
    const server = await this.#ask('discovery', async (options) =>
      oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options)),
    );
    const { jwks_uri: address } = server;
    if (address === undefined) throw failed('Its description names no jwks_uri.');
    if (server.device_authorization_endpoint === undefined) throw failed('Its description names no device flow.');
    if (!this.#isPlain && !address.startsWith('https:')) throw failed('Its keys are not behind https.');
    // Kept while the address is the same: what it has fetched stays, and so does its pace.
    if (this.#keys?.address !== address) this.#keys = { address, set: createRemoteJWKSet(new URL(address), KEYS) };
    return { server, auth: this.#authAt(server), keys: this.#keys.set };
  }

  #authAt({ token_endpoint_auth_methods_supported: known }: oauth.AuthorizationServer): oauth.ClientAuth {
    const secret = this.#options.clientSecret?.reveal();
    if (secret === undefined) return oauth.None();
    // Basic is what a provider has that names none (Discovery 1.0, section 3).
    return known === undefined || known.includes('client_secret_basic')
      ? oauth.ClientSecretBasic(secret)
      : oauth.ClientSecretPost(secret);
  }

  async #askAmong<T>(kind: Kind, step: string, run: (options: Asking) => Promise<T>): Promise<T> {
    if (this.#atOnce[kind] >= MOST_AT_ONCE) throw failed('Too many ask it at once.');
    this.#atOnce[kind] += 1;
    try {
      return await this.#ask(step, run);
    } finally {
      this.#atOnce[kind] -= 1;
    }
  }

  async #ask<T>(step: string, run: (options: Asking) => Promise<T>): Promise<T> {
    try {
      return await run({
        signal: AbortSignal.timeout(TIMEOUT_MS),
        [oauth.allowInsecureRequests]: this.#isPlain,
        [oauth.customFetch]: boundedFetch,
      });
    } catch (caught) {
      throw this.#failure(step, caught);
    }
  }

  /** What it said may hold anything: only codes go to the log. */
  #failure(step: string, caught: unknown): AegisError {
    if (caught instanceof AegisError) return caught;
    const error = caught as { code?: unknown; error?: unknown; status?: unknown; name?: unknown };
    const { code, error: said, status, name } = error;
    this.#log.error({ step, issuer: this.#options.issuer, code, said, status, name }, 'the identity provider failed');
    return failed(`Step: ${step}.`);
  }
}

const failed = (detail: string): AegisError => new AegisError('IDENTITY_PROVIDER_FAILED', detail);

const tokensOf = ({ id_token, refresh_token }: oauth.TokenEndpointResponse, before: string): AccountTokens => {
  if (id_token === undefined) throw failed('It gives no ID token.');
  return { idToken: id_token, refreshToken: refresh_token ?? before };
};

/** What is wrong with the token, as against: what is wrong with the way to the keys. */
const isVerdict = (caught: unknown): caught is errors.JOSEError =>
  caught instanceof errors.JOSEError &&
  !(caught instanceof errors.JWKSTimeout || caught instanceof errors.JWKSInvalid) &&
  caught.code !== 'ERR_JOSE_GENERIC';
