import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { CommandError } from '../command-error.ts';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';

interface Options extends ConnectionOptions {
  name?: string;
}

export const addNodesApprove: AddCommand = (nodes, context) =>
  withConnectionOptions(nodes.command('approve').description("register a node's public key, so that the node may come"))
    .argument('<file>', 'the public key: an OpenSSH .pub file or PEM')
    .option('--name <name>', 'a name for people (default: the file name)')
    .action(async (file: string, options: Options) => {
      const { terminal } = context();
      const publicKey = await readPublicKey(file);
      const name = options.name ?? basename(file).replace(/\.(pub|pem)$/, '');
      const { nodeId } = await withOperator(options, context(), (operator) =>
        operator.call('approveNode', { publicKey, name }),
      );
      terminal.result({ nodeId, name });
      terminal.line(`node ${nodeId} (${name}) may come`);
    });

async function readPublicKey(file: string): Promise<Buffer> {
  const content = await readFile(file);
  const text = content.subarray(0, 4096).toString('latin1');
  if (text.includes('PRIVATE KEY-----')) {
    throw new CommandError('PRIVATE_KEY_GIVEN', `${file} is a private key: it never leaves the node.`, {
      todo: `Give the public half, usually ${file}.pub`,
    });
  }
  return content;
}
