import type { ConnectionOptions } from '../connection.ts';
import { type AddCommand, withConnectionOptions, withOperator } from '../context.ts';
import { balanceJson, describeBalance } from '../present/budgets.ts';
import { isoTime } from '../present/values.ts';

export const addBudgetWatch: AddCommand = (budget, context) =>
  withConnectionOptions(
    budget
      .command('watch')
      .description(
        'tell when a budget is used to 50, 80 or 95 percent, and when something is refused; stays until Ctrl-C',
      ),
  ).action(async (options: ConnectionOptions) => {
    const { terminal } = context();
    const alerts: unknown[] = [];
    await withOperator(options, context(), async (operator) => {
      for await (const { balance, percent, at, detail } of operator.stream('watchBudgets', {})) {
        if (balance === undefined) continue;
        alerts.push({ ...balanceJson(balance), percent, at: isoTime(at), detail });
        terminal.line(`${percent === 100 ? 'refused' : `${percent} %`}  ${describeBalance(balance)}`);
        if (percent === 100) terminal.line(`  ${detail}`);
      }
    });
    terminal.result(alerts);
  });
