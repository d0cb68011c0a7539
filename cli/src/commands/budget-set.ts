import { Argument } from 'commander';
import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { collect, parsePositive } from '../parse.ts';
import { balanceJson, describeBalance, type Kind, kindOf, kinds } from '../present/budgets.ts';

interface Options extends ConnectionOptions {
  epsilon: number;
  delta?: number;
  partition?: string[];
}

export const addBudgetSet: AddCommand = (budget, context) =>
  withConnectionOptions(
    budget.command('set').description('set a budget; what is spent stays spent, so it shrinks no further than that'),
  )
    .addArgument(new Argument('<kind>', 'whose budget').choices(kinds))
    .argument('[name]', 'run id, data set, or pseudonym of a unit; without it: the default of the kind')
    .requiredOption('--epsilon <number>', 'how much may be spent', parsePositive)
    .option('--delta <number>', 'at which delta (default: as it is)', parsePositive)
    .option(
      '--partition <name>',
      'declare a part of the data set with which no other part shares a unit; may be repeated',
      collect,
    )
    .action(async (kind: Kind, name: string | undefined, options: Options) => {
      const { terminal } = context();
      const { epsilon, delta = 0, partition = [] } = options;
      const balance = await withOperator(options, context(), (operator) =>
        operator.call('setBudget', {
          scope: { kind: kindOf(kind), name: name ?? '' },
          ...{ epsilon, delta, addPartitions: partition },
        }),
      );
      terminal.result(balanceJson(balance));
      terminal.line(describeBalance(balance));
    });
