import { sigmaFor } from '@aegis/core-native';
import type { AddCommand } from '../context.ts';
import { costRows } from '../present/privacy.ts';
import { askAbout, type EventsOptions, parseReal, withEvents } from '../privacy/events-file.ts';

interface Options extends EventsOptions {
  epsilon: number;
}

export const addPrivacySigma: AddCommand = (privacy, context) =>
  withEvents(privacy.command('sigma').description('the smallest noise multiplier that keeps within (epsilon, delta)'))
    .requiredOption('--epsilon <epsilon>', 'what the events may cost', parseReal)
    .addHelpText(
      'after',
      '\nRows without a noise-multiplier share the one that is found; if every row has one, all are replaced.',
    )
    .action(async ({ events, epsilon, delta }: Options) => {
      const { terminal } = context();
      const { noiseMultiplier, spent } = await askAbout(events, (text) => sigmaFor(text, { epsilon, delta }));
      terminal.result({ sigma: noiseMultiplier, ...spent });
      terminal.table(['NOISE', ''], [['noise multiplier', String(noiseMultiplier)], ...costRows(spent)], '');
    });
