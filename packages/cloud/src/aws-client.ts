import { AegisError, type ErrorCode } from '@aegis/errors';
import { NodeHttpHandler } from '@smithy/node-http-handler';

const ATTEMPTS = 5;
const CONNECT_MS = 5_000;

interface Reach {
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly 'timeout-seconds': number;
}

/** What the clients of all services of AWS are given. Retries back off with jitter; throttling and 5xx are retried as well as connections. */
export function clientOptions({ region, endpoint, 'timeout-seconds': seconds }: Reach) {
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    maxAttempts: ATTEMPTS,
    retryMode: 'standard' as const,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: CONNECT_MS,
      requestTimeout: seconds * 1000,
      throwOnRequestTimeout: true,
      socketTimeout: seconds * 1000,
      httpsAgent: { maxSockets: 16, keepAlive: true },
      httpAgent: { maxSockets: 16, keepAlive: true },
    }),
  };
}

/** What an error of the SDK says about itself. */
export const nameOf = (error: unknown): string => (error as { name?: string } | null)?.name ?? '';
export const statusOf = (error: unknown): number =>
  (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode ?? 0;

/**
 * An answer that did not come, in the words of the suite: `code`, with what was asked for and the name of the reason. Messages of the SDK are left out:
 * they may quote what a request was signed with.
 */
export function notAnswered(code: ErrorCode, what: string, error: unknown): AegisError {
  if (error instanceof AegisError) return error;
  if (/region is missing/i.test((error as Error)?.message ?? ''))
    return new AegisError('CONFIG_INVALID', `${what}: no region. Set region, or AWS_REGION.`);
  const status = statusOf(error);
  const reason = [nameOf(error), (error as NodeJS.ErrnoException).code, status || undefined].filter(Boolean).join(', ');
  return new AegisError(code, `${what}: ${reason}.`);
}
