import { roundsFor } from '@aegis/core-native';
import type { AddCommand } from '../context.ts';
import { costRows } from '../present/privacy.ts';
import { askAbout, type EventsOptions, parseReal, withEvents } from '../privacy/events-file.ts';

interface Options extends EventsOptions {
  epsilon: number;
}

export const addPrivacyRounds: AddCommand = (privacy, context) =>
  withEvents(privacy.command('rounds').description('how often the whole list can happen within (epsilon, delta)'))
    .requiredOption('--epsilon <epsilon>', 'what all rounds may cost', parseReal)
    .action(async ({ events, epsilon, delta }: Options) => {
      const { terminal } = context();
      const { rounds, spent } = await askAbout(events, (text) => roundsFor(text, { epsilon, delta }));
      terminal.result({ rounds, ...(spent ?? { epsilon: 0, lower: 0, delta }) });
      terminal.table(['ROUNDS', ''], [['rounds', String(rounds)], ...(spent ? costRows(spent) : [])], '');
    });
