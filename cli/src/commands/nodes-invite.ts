import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseDuration } from '../parse.ts';
import { invitationJson } from '../present/invitations.ts';
import { formatTime } from '../present/values.ts';
import { parseName } from './ca-init.ts';

interface Options extends ConnectionOptions {
  name?: string;
  expires: number;
}

export const addNodesInvite: AddCommand = (nodes, context) =>
  withConnectionOptions(nodes.command('invite').description('make a token that lets one node in, once'))
    .option('--name <name>', 'the name of the node, lower case (default: the node says its own)', parseName)
    .option('--expires <time>', 'how long it is good: 30m, 24h, 7d; at most 30d', parseDuration, 86_400)
    .action(async (options: Options) => {
      const { terminal } = context();
      const { name = '', expires: seconds } = options;
      const { token, invitation } = await withOperator(options, context(), (operator) =>
        operator.call('inviteNode', { name, seconds }),
      );
      terminal.result({ token, ...(invitation && invitationJson(invitation)) });
      // Alone on its line, so that it can be copied whole.
      terminal.line(token);
      terminal.note(
        `It is shown this once, lets one node in until ${formatTime(invitation?.expiresAt ?? 0)}, and is taken back with: aegis nodes uninvite ${invitation?.id}`,
      );
    });
