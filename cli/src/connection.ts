import { readFile } from 'node:fs/promises';
import { CommandError } from './command-error.ts';
import { ExitCode } from './exit-codes.ts';
import { readConnectionFile, stateDirectory, stateRoot } from './state-directory.ts';

/** The options every command that talks to a server takes. */
export interface ConnectionOptions {
  readonly state?: string | undefined;
  readonly address?: string | undefined;
  readonly ca?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly insecure?: boolean | undefined;
}

export interface Connection {
  readonly host: string;
  readonly port: number;
  /** PEM text; undefined = the certificate authorities of this machine. */
  readonly ca: string | undefined;
  readonly insecure: boolean;
  readonly token: string;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[v6]:port`, with or without `http(s)://`. */
export function parseAddress(text: string, defaultPort?: number): Address {
  const bare = text.replace(/^(https?|grpcs?):\/\//, '').replace(/\/$/, '');
  const match = /^(?:\[([^\]]+)\]|([^:\s/]+))(?::(\d{1,5}))?$/.exec(bare);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port === undefined || port < 1 || port > 65535) {
    throw new CommandError('ADDRESS', `"${text}" is not an address of the form host:port.`, {
      exitCode: ExitCode.usage,
    });
  }
  return { host, port };
}

export const formatAddress = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** What the options say; what they leave open comes from the state directory's connection file. */
export async function resolveConnection(
  options: ConnectionOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Connection> {
  const state = stateDirectory(stateRoot(options.state, env));
  const file = await readConnectionFile(state);
  const address = options.address ?? file?.address;
  if (address === undefined) {
    throw new CommandError('NO_SERVER', `No suite was started in ${state.root}.`, {
      todo: 'Start one with `aegis up`, or name a server: --address HOST:PORT --ca FILE --token-file FILE.',
      exitCode: ExitCode.unreachable,
    });
  }
  // The file's plain-text setting, CA and token belong to the file's address: no other server is to be shown that token.
  const own = options.address === undefined || options.address === file?.address;
  const insecure = options.insecure ?? (own && file?.insecure === true && options.ca === undefined);
  const caFile = options.ca ?? (own && !insecure ? (file?.ca ?? undefined) : undefined);
  const tokenFile = options.tokenFile ?? (own ? file?.tokenFile : undefined);
  return {
    ...parseAddress(address),
    ca: caFile === undefined || insecure ? undefined : await readFile(caFile, 'utf8'),
    insecure,
    token: tokenFile === undefined ? '' : await readToken(tokenFile),
  };
}

async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new CommandError('TOKEN_FILE', `The operator token cannot be read from ${file}.`, {
      todo: 'Point --token-file at the file that `aegis up` wrote.',
      exitCode: ExitCode.refused,
      cause,
    });
  }
}
