import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { parseId } from '../parse.ts';

export const addNodesRemove: AddCommand = (nodes, context) =>
  withConnectionOptions(nodes.command('remove').description('expel a node; its key is refused from now on'))
    .argument('<id>', 'node id', parseId)
    .action(async (nodeId: bigint, options: ConnectionOptions) => {
      const { terminal } = context();
      await withOperator(options, context(), (operator) => operator.call('removeNode', { nodeId }));
      terminal.result({ nodeId, removed: true });
      terminal.line(`node ${nodeId} is removed`);
    });
