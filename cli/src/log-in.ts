import { setTimeout as sleep } from 'node:timers/promises';
import { LogInService, type LogInTokens } from '@aegis/contracts/aegis/operator/v1/operator';
import { AegisError } from '@aegis/errors';
import { Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { type Connection, formatAddress } from './connection.ts';
import { GatewayClient } from './gateway-client.ts';
import { changeLogIn, type LogIn, logInPlace, readLogIn } from './log-ins.ts';

/** The provider is asked behind the server. */
const ANSWER_MS = 30_000;
/** Renewed when it is older: a server may take tokens of some minutes only, and roles are those of the last renewal. */
const FRESH_MS = 60_000;
/** In place of a refresh token that the provider did not give. */
const NO_REFRESH_TOKEN = 'none';

type Ask = <Req, Res>(method: MethodDefinition<Req, Res>, request: Req) => Promise<Res>;

const asking = async <T>(connection: Connection, signal: AbortSignal, work: (ask: Ask) => Promise<T>): Promise<T> => {
  const client = new GatewayClient(connection, signal);
  const limits = { metadata: new Metadata(), timeoutMs: ANSWER_MS };
  try {
    return await work((method, request) => client.unary(method, request, limits));
  } finally {
    client.close();
  }
};

/**
 * Logs in by the device flow: `show` is told the page to open, then it is asked until the person is done there. LOGIN_NOT_OFFERED, LOGIN_REFUSED,
 * ACCOUNTS_NOT_USED.
 */
export const logIn = (connection: Connection, signal: AbortSignal, show: (page: string) => void): Promise<LogIn> =>
  asking(connection, signal, async (ask) => {
    const { page, deviceCode, seconds, interval } = await ask(LogInService.begin, {});
    show(page);
    for (const until = performance.now() + seconds * 1_000; performance.now() < until; ) {
      const { tokens } = await ask(LogInService.collect, { deviceCode });
      if (tokens !== undefined) return given(tokens);
      await sleep(Math.max(interval, 1) * 1_000, undefined, { signal });
    }
    throw new AegisError('LOGIN_REFUSED', 'Nobody approved it in time.');
  });

/** The token that the server is shown: what `aegis login` left for it, renewed when it is not fresh. "": there is none. */
export async function logInToken(
  connection: Connection,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  now = Date.now(),
): Promise<string> {
  const place = logInPlace(connection);
  const kept = await readLogIn(env, place);
  if (kept === undefined || isFresh(kept, now)) return kept?.idToken ?? '';
  const renewed = await changeLogIn(env, place, async (latest) => {
    // Another command may have renewed it meanwhile, or taken it away.
    if (latest === undefined || isFresh(latest, now)) return latest;
    const { refreshToken } = latest;
    return given(await asking(connection, signal, (ask) => ask(LogInService.renew, { refreshToken })));
  }).catch((caught: unknown) => {
    if (!(caught instanceof AegisError) || caught.code !== 'ACCOUNT_UNAUTHENTICATED') throw caught;
    throw new AegisError('OPERATOR_UNAUTHENTICATED', `The log-in at ${formatAddress(connection)} is over.`, caught);
  });
  return renewed?.idToken ?? '';
}

const isFresh = ({ at, refreshToken }: LogIn, now: number): boolean =>
  Math.abs(now - at) < FRESH_MS || refreshToken === NO_REFRESH_TOKEN;

const given = (tokens: LogInTokens): LogIn => ({ ...tokens, at: Date.now() });
