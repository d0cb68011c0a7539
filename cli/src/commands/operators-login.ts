import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { writeFileAtomic } from '@aegis/service-kit';
import { parse, stringify } from 'yaml';
import { CommandError } from '../command-error.ts';
import { type ConnectionOptions, formatAddress, resolveConnection } from '../connection.ts';
import { type AddCommand, withConnectionOptions } from '../context.ts';

interface Options extends ConnectionOptions {
  app?: string;
  federation: string;
}

/** What the flwr command believes to be there besides the token; it opens nothing. */
const NO_REFRESH_TOKEN = 'none';

/**
 * The stock flwr command takes a token by its own log-in only, and keeps what that gave: this writes an operator's token where it looks. Releases
 * that have their connections in $FLWR_HOME/config.toml keep them beside it (credentials.yaml), older ones in the app's folder.
 */
export const addOperatorsLogin: AddCommand = (operators, context) =>
  withConnectionOptions(
    operators.command('login').description("let the flwr command of this account use an operator's token"),
  )
    .option('--app <dir>', 'for releases that read connections from the pyproject.toml of an app: its folder')
    .option('--federation <name>', 'with --app: the name of the connection there', 'aegis')
    .action(async ({ app, federation, ...options }: Options) => {
      const { terminal, env } = context();
      const { token, ...reach } = await resolveConnection(options, env);
      // To the letter as in the connection: it is the name the command looks under.
      const address = options.address ?? formatAddress(reach);
      const file =
        app === undefined
          ? join(env.FLWR_HOME ?? join(homedir(), '.flwr'), 'credentials.yaml')
          : join(resolve(app), '.flwr', '.credentials', `${federation}.json`);
      const content = app === undefined ? await credentialsWith(file, address, token) : credentialsOfApp(token);
      await mkdir(dirname(file), { recursive: true });
      await writeFileAtomic(file, content, 0o600);
      terminal.result({ file, address });
      terminal.line(`flwr now shows this token to ${app === undefined ? address : `the connection ${federation}`}.`);
      terminal.note(
        app === undefined
          ? `The connection must have exactly this address: address = ${JSON.stringify(address)}`
          : `The connection needs enable-user-auth = true. Keep ${file} out of version control.`,
      );
    });

/** All that is there, and this server's: text in base64, as the command writes it. */
async function credentialsWith(file: string, address: string, token: string): Promise<string> {
  const known = await readCredentials(file);
  const key = (what: string) => `flower.account-auth.${address}.${what}`;
  const coded = (text: string) => Buffer.from(text).toString('base64');
  return stringify({
    ...known,
    [key('authn-type')]: coded('oidc'),
    [key('oidc-access-token')]: coded(token),
    [key('oidc-refresh-token')]: coded(NO_REFRESH_TOKEN),
  });
}

async function readCredentials(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  try {
    const known: unknown = parse(text);
    if (typeof known === 'object' && known !== null && !Array.isArray(known)) return { ...known };
  } catch {
    // what it cannot be is said below
  }
  throw new CommandError('CREDENTIALS_DAMAGED', `${file} is no list of credentials.`, {
    todo: 'Move it away; log-ins at other servers are lost with it.',
  });
}

const credentialsOfApp = (token: string): string =>
  `${JSON.stringify({ 'auth-type': 'oidc', 'flwr-oidc-access-token': token, 'flwr-oidc-refresh-token': NO_REFRESH_TOKEN }, null, 4)}\n`;
