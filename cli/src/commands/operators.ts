import { resolve } from 'node:path';
import { OPERATOR_ROLES, type OperatorRole } from '@aegis/gateway/operators-file';
import { systemRandom } from '@aegis/service-kit';
import { Argument, Option } from 'commander';
import { CommandError } from '../command-error.ts';
import type { AddCommand } from '../context.ts';
import { hashOf, readOperators, writeOperators } from '../operators-file.ts';
import { parseDuration } from '../parse.ts';
import { stateDirectory, stateRoot } from '../state-directory.ts';
import { parseName } from './ca-init.ts';

interface Where {
  state?: string;
  file?: string;
}

/** Of the first operator, whose token `aegis up` makes. */
const FIRST = 'operator';

const named = new Argument('<name>', 'of a person or a program, lower case').argParser(parseName);
const file = ['--file <file>', "the gateways' operators-file (default: that of the state directory)"] as const;
const state = ['--state <dir>', 'state directory whose suite is meant (default: $AEGIS_HOME or .aegis)'] as const;

export const addOperatorsAdd: AddCommand = (operators, context) =>
  operators
    .command('add')
    .description('make a token for somebody else, with a role; it is shown once')
    .addArgument(named)
    .addOption(new Option('--role <role>', 'what it may do').choices([...OPERATOR_ROLES]).makeOptionMandatory())
    .option('--expires <time>', 'how long it is good: 12h, 90d (default: until it is taken back)', parseDuration)
    .option(...state)
    .option(...file)
    .action(async (name: string, { role, expires, ...where }: Where & { role: OperatorRole; expires?: number }) => {
      const { terminal, env } = context();
      const path = pathOf(where, env);
      const known = await readOperators(path);
      if (name === FIRST || known.some((one) => one.name === name)) {
        throw new CommandError('OPERATOR_EXISTS', `There is an operator ${name} already.`, {
          todo: `Choose another name, or take that token back first: aegis operators rm ${name}`,
        });
      }
      const token = systemRandom.bytes(32).toString('base64url');
      const until = expires === undefined ? {} : { expires: new Date(Date.now() + expires * 1_000).toISOString() };
      await writeOperators(path, [...known, { name, role, sha256: hashOf(token), ...until }]);
      terminal.result({ name, role, token, ...until });
      // Alone on its line, so that it can be copied whole.
      terminal.line(token);
      terminal.note(
        `It is shown this once: hand it over by a way you trust. ${name} writes it to a file of mode 600 and gives every command --token-file FILE. To take it back: aegis operators rm ${name}`,
      );
    });

export const addOperatorsLs: AddCommand = (operators, context) =>
  operators
    .command('ls')
    .description('who has a token, with which role')
    .option(...state)
    .option(...file)
    .action(async (where: Where) => {
      const { terminal, env } = context();
      const known = await readOperators(pathOf(where, env));
      const now = Date.now();
      terminal.result(known.map(({ sha256: _, ...one }) => one));
      terminal.table(
        ['NAME', 'ROLE', 'UNTIL'],
        known.map(({ name, role, expires }) => [name, role, untilOf(expires, now)]),
        'Nobody but the first operator, who is an admin.',
      );
    });

export const addOperatorsRm: AddCommand = (operators, context) =>
  operators
    .command('rm')
    .description('take a token back; gateways refuse it within a second')
    .addArgument(named)
    .option(...state)
    .option(...file)
    .action(async (name: string, where: Where) => {
      const { terminal, env } = context();
      const path = pathOf(where, env);
      const known = await readOperators(path);
      const rest = known.filter((one) => one.name !== name);
      if (rest.length === known.length) {
        throw new CommandError('OPERATOR_UNKNOWN', `There is no operator ${name} in ${path}.`, {
          todo: '`aegis operators ls` shows them.',
        });
      }
      await writeOperators(path, rest);
      terminal.result({ name });
      terminal.line(`${name}'s token opens nothing any more.`);
    });

const pathOf = ({ state: given, file: path }: Where, env: NodeJS.ProcessEnv): string =>
  path === undefined ? stateDirectory(stateRoot(given, env)).operators : resolve(path);

const untilOf = (expires: string | undefined, now: number): string => {
  if (expires === undefined) return 'taken back';
  const day = new Date(expires).toISOString().slice(0, 16).replace('T', ' ');
  return Date.parse(expires) > now ? day : `${day} (over)`;
};
