import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';

export const addNodesUninvite: AddCommand = (nodes, context) =>
  withConnectionOptions(nodes.command('uninvite').description('take an invitation back that nobody has used yet'))
    .argument('<id>', 'of `aegis nodes invitations`')
    .action(async (id: string, options: ConnectionOptions) => {
      const { terminal } = context();
      await withOperator(options, context(), (operator) => operator.call('revokeInvitation', { id }));
      terminal.result({ id, revoked: true });
      terminal.line(`invitation ${id} lets nobody in any more`);
    });
