import { type ConnectionOptions, formatAddress, resolveConnection } from '../connection.ts';
import { type AddCommand, withConnectionOptions } from '../context.ts';
import { logIn } from '../log-in.ts';
import { keepLogIn, logInsFile } from '../log-ins.ts';

export const addLogin: AddCommand = (program, context) =>
  withConnectionOptions(
    program.command('login').description('log in at the identity provider of a server (control: accounts)'),
  ).action(async (options: ConnectionOptions) => {
    const { terminal, env, signal } = context();
    const connection = await resolveConnection(options, env);
    const address = formatAddress(connection);
    const show = (page: string) => terminal.note(`Open ${page} and approve; waiting …`);
    await keepLogIn(env, address, await logIn(connection, AbortSignal.any([signal, terminal.closed]), show));
    terminal.result({ address, file: logInsFile(env) });
    terminal.line(`Logged in at ${address}: aegis shows this account there where no --token-file is given.`);
  });

export const addLogout: AddCommand = (program, context) =>
  withConnectionOptions(program.command('logout').description('forget what `aegis login` left')).action(
    async (options: ConnectionOptions) => {
      const { terminal, env } = context();
      const address = formatAddress(await resolveConnection(options, env));
      await keepLogIn(env, address, undefined);
      terminal.result({ address });
      terminal.line(`Logged out at ${address}.`);
    },
  );
