import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { nodeHead, nodeJson, nodeRow } from '../present/nodes.ts';

export const addNodesLs: AddCommand = (nodes, context) =>
  withConnectionOptions(nodes.command('ls').description('list nodes: who may come, and who is online')).action(
    async (options: ConnectionOptions) => {
      const { terminal } = context();
      const answer = await withOperator(options, context(), (operator) => operator.call('listNodes', {}));
      terminal.result(answer.nodes.map(nodeJson));
      terminal.table(
        nodeHead,
        answer.nodes.map(nodeRow),
        'No nodes yet. Let one in with `aegis nodes invite`, or `aegis nodes approve KEY.pub`.',
      );
    },
  );
