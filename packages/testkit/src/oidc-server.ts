import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { type AccountClaims, type JWKS, Provider } from 'oidc-provider';

export interface OidcServerOptions {
  /** 0, the default: any free one. With a given one it can end and come back as itself. */
  readonly port?: number;
  readonly clientId: string;
  readonly clientSecret?: string;
  /** Of an ID token, by what it says itself. */
  readonly tokenSeconds?: number;
  /** subject → its claims. Read anew for each token. */
  readonly people: Map<string, Record<string, unknown>>;
}

interface SigningKey {
  readonly kid: string;
  readonly key: CryptoKey;
  readonly jwk: JWKS['keys'][number];
}

/** A real OpenID provider on this machine (oidc-provider), with the device flow, whose pages can be gone through without a browser. */
export class OidcServer {
  readonly issuer: string;
  readonly #server: Server;
  readonly #options: OidcServerOptions;
  #signing: SigningKey;
  #provider: Provider;
  /** Requests by path, since the start. */
  readonly asked = new Map<string, number>();

  private constructor(server: Server, options: OidcServerOptions, signing: SigningKey) {
    this.#server = server;
    this.#options = options;
    this.#signing = signing;
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#provider = this.#make();
    server.on('request', (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0] ?? '';
      this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
      void this.#provider.callback()(request, response);
    });
  }

  static async start(options: OidcServerOptions): Promise<OidcServer> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port ?? 0, '127.0.0.1', resolve);
    });
    return new OidcServer(server, options, await newKey('key-1'));
  }

  get port(): number {
    return Number(new URL(this.issuer).port);
  }

  /** Signs with a new key from now on; the old one is forgotten. */
  async rotateKeys(): Promise<void> {
    this.#signing = await newKey(`key-${Date.now()}`);
    this.#provider = this.#make();
  }

  /** Signed as the provider would sign, saying whatever one likes. */
  sign(claims: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
    const { kid, key } = this.#signing;
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid, ...header }).sign(key);
  }

  /** Takes back whatever was given by this refresh token. */
  async revoke(refreshToken: string): Promise<void> {
    const { clientId, clientSecret = '' } = this.#options;
    const body = new URLSearchParams({ token: refreshToken, client_id: clientId });
    if (clientSecret !== '') body.set('client_secret', clientSecret);
    const answer = await fetch(`${this.issuer}/token/revocation`, { method: 'POST', body });
    if (!answer.ok) throw new Error(`the provider did not revoke: ${answer.status}`);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #make(): Provider {
    const { clientId, clientSecret, tokenSeconds = 300, people } = this.#options;
    const provider = new Provider(this.issuer, {
      clients: [
        {
          client_id: clientId,
          ...(clientSecret === undefined
            ? { token_endpoint_auth_method: 'none' as const }
            : { client_secret: clientSecret }),
          grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
          redirect_uris: [],
          response_types: [],
          id_token_signed_response_alg: 'ES256',
        },
      ],
      jwks: { keys: [this.#signing.jwk] },
      features: { deviceFlow: { enabled: true }, revocation: { enabled: true }, devInteractions: { enabled: true } },
      claims: { openid: ['sub'], profile: ['preferred_username', 'groups', 'realm_access'] },
      // Claims of the scopes in the ID token itself, as most providers have them there.
      conformIdTokenClaims: false,
      issueRefreshToken: async () => true,
      cookies: { keys: ['only for tests'] },
      ttl: { IdToken: tokenSeconds, DeviceCode: 120, RefreshToken: 3600, AccessToken: 300, Grant: 3600, Session: 600 },
      findAccount: (_ctx, sub) => {
        const claims = people.get(sub);
        return claims && { accountId: sub, claims: async () => ({ sub, ...claims }) as AccountClaims };
      },
    });
    return provider;
  }
}

const newKey = async (kid: string): Promise<SigningKey> => {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' };
  return { kid, key: privateKey, jwk: jwk as SigningKey['jwk'] };
};

/** Goes through the provider's pages as a person would who follows the address that the command shows. */
export const approveLogin = async (verificationUri: string, subject: string): Promise<void> => {
  const pages = new Pages();
  let page = await pages.get(verificationUri);
  // the code is in the address: a page that sends itself; then: is it yours? who are you? may it?
  page = await pages.send(page, {});
  page = await pages.send(page, { confirm: 'yes' });
  page = await pages.send(page, { login: subject, password: 'any' });
  page = await pages.send(page, {});
  if (!page.text.includes('Sign-in Success')) throw new Error(`the log-in was not approved:\n${page.text}`);
};

interface Page {
  readonly address: string;
  readonly text: string;
}

/** Forms, cookies and redirects: all that the pages need. */
class Pages {
  readonly #cookies = new Map<string, string>();

  get(address: string): Promise<Page> {
    return this.#ask(address, { method: 'GET' });
  }

  /** Its only form, with what is filled in already. */
  send({ address, text }: Page, filled: Record<string, string>): Promise<Page> {
    const action = /<form[^>]*\baction="([^"]+)"/.exec(text)?.[1];
    if (action === undefined) throw new Error(`${address} shows no form:\n${text}`);
    const body = new URLSearchParams();
    for (const [input] of text.matchAll(/<input[^>]*>/g)) {
      const [, name] = /\bname="([^"]+)"/.exec(input) ?? [];
      if (name !== undefined && input.includes('type="hidden"'))
        body.set(name, /\bvalue="([^"]*)"/.exec(input)?.[1] ?? '');
    }
    for (const [name, value] of Object.entries(filled)) body.set(name, value);
    return this.#ask(new URL(action, address).href, { method: 'POST', body });
  }

  async #ask(address: string, request: RequestInit): Promise<Page> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(address, { ...request, redirect: 'manual', headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      this.#cookies.set(name, value);
    }
    const next = answer.headers.get('location');
    if (next !== null) return this.#ask(new URL(next, address).href, { method: 'GET' });
    return { address, text: await answer.text() };
  }
}
