import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { invitationHead, invitationJson, invitationRow } from '../present/invitations.ts';

export const addNodesInvitations: AddCommand = (nodes, context) =>
  withConnectionOptions(
    nodes.command('invitations').description('list invitations: open, used by which node, expired, revoked'),
  ).action(async (options: ConnectionOptions) => {
    const { terminal } = context();
    const { invitations } = await withOperator(options, context(), (operator) => operator.call('listInvitations', {}));
    terminal.result(invitations.map(invitationJson));
    terminal.table(invitationHead, invitations.map(invitationRow), 'None. Make one with `aegis nodes invite`.');
  });
