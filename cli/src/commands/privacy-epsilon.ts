import { epsilonOf } from '@aegis/core-native';
import type { AddCommand } from '../context.ts';
import { costRows } from '../present/privacy.ts';
import { askAbout, type EventsOptions, withEvents } from '../privacy/events-file.ts';

export const addPrivacyEpsilon: AddCommand = (privacy, context) =>
  withEvents(privacy.command('epsilon').description('what a list of events costs, without a suite')).action(
    async ({ events, delta }: EventsOptions) => {
      const { terminal } = context();
      const cost = await askAbout(events, (text) => epsilonOf(text, delta));
      terminal.result(cost);
      terminal.table(['COST', ''], costRows(cost), '');
    },
  );
