import { type ConnectionOptions, formatAddress, resolveConnection } from '../connection.ts';
import { type AddCommand, withConnectionOptions } from '../context.ts';
import { logIn } from '../log-in.ts';
import { changeLogIn, logInPlace, logInsFile } from '../log-ins.ts';

export const addLogin: AddCommand = (program, context) =>
  withConnectionOptions(
    program.command('login').description('log in at the identity provider of a server (control: accounts)'),
  ).action(async (options: ConnectionOptions) => {
    const { terminal, env, signal } = context();
    const connection = await resolveConnection(options, env);
    const address = formatAddress(connection);
    const show = (page: string) => terminal.note(`Open ${page} and approve; waiting …`);
    const given = await logIn(connection, AbortSignal.any([signal, terminal.closed]), show);
    await changeLogIn(env, logInPlace(connection), async () => given);
    terminal.result({ address, file: logInsFile(env) });
    terminal.line(`Logged in at ${address}: aegis shows this account there where no --token-file is given.`);
  });

export const addLogout: AddCommand = (program, context) =>
  withConnectionOptions(program.command('logout').description('forget what `aegis login` left')).action(
    async (options: ConnectionOptions) => {
      const { terminal, env } = context();
      const connection = await resolveConnection(options, env);
      const address = formatAddress(connection);
      await changeLogIn(env, logInPlace(connection), async () => undefined);
      terminal.result({ address });
      terminal.line(`Logged out at ${address}.`);
    },
  );
