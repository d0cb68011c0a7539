import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { consentHead, consentJson, consentRow } from '../present/consents.ts';

interface Options extends ConnectionOptions {
  purpose?: string;
  run?: string;
  node?: string;
}

export const addConsentLs: AddCommand = (consent, context) =>
  withConnectionOptions(
    consent.command('ls').description('what nodes said they consent to, with the version of the text and the time'),
  )
    .option('--purpose <name>', 'of this purpose alone')
    .option('--run <id>', 'of this run alone')
    .option('--node <id>', 'of this node alone')
    .action(async ({ purpose, run, node, ...options }: Options) => {
      const { terminal } = context();
      const { consents } = await withOperator(options, context(), (operator) => operator.call('listConsents', {}));
      const wanted = [
        ...(purpose === undefined ? [] : [`purpose:${purpose}`]),
        ...(run === undefined ? [] : [`run:${run}`]),
      ];
      const shown = consents.filter(
        ({ to, nodeId }) =>
          (wanted.length === 0 || wanted.includes(to)) && (node === undefined || nodeId.toString() === node),
      );
      terminal.result(shown.map(consentJson));
      terminal.table(
        consentHead,
        shown.map(consentRow),
        'None. Nodes say it themselves: a guard by its policy file, a REST client by PUT /api/v1/consent.',
      );
    });
