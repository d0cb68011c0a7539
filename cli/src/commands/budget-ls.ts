import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { balanceHead, balanceJson, balanceRow } from '../present/budgets.ts';

interface Options extends ConnectionOptions {
  units?: boolean;
}

export const addBudgetLs: AddCommand = (budget, context) =>
  withConnectionOptions(
    budget.command('ls').description('what runs, data sets and units have spent of their budgets; reservations count'),
  )
    .option('--units', 'every unit, not only the most spent one')
    .action(async (options: Options) => {
      const { terminal } = context();
      const { balances, defaults } = await withOperator(options, context(), (operator) =>
        operator.call('listBudgets', { units: options.units ?? false }),
      );
      terminal.result({ balances: balances.map(balanceJson), defaults: defaults.map(balanceJson) });
      terminal.table(balanceHead, [...balances, ...defaults].map(balanceRow), 'No budgets.');
    });
