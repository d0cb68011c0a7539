import { AegisError } from '@aegis/errors';

export type ScopeKind = 'run' | 'dataset' | 'unit';

/** Whose budget: a run, a data set, or a unit across all runs. Without a name: the default of its kind. */
export interface Scope {
  readonly kind: ScopeKind;
  readonly name: string;
}

export const SCOPE_KINDS: readonly ScopeKind[] = ['run', 'dataset', 'unit'];

export const scopeKey = ({ kind, name }: Scope): string => `${kind}:${name}`;

/** A pseudonym that the gateway made. */
const pseudonymForm = /^[A-Za-z0-9_-]{16,64}$/;
export const isPseudonym = (text: string): boolean => pseudonymForm.test(text);

// Data sets and partitions are named by people; what would not show in a table is no name.
const nameForm = /^[\p{L}\p{N}][\p{L}\p{N} ._/:-]{0,127}$/u;
export const isName = (text: string): boolean => nameForm.test(text);

const isRunId = (text: string): boolean => /^[1-9]\d{0,19}$/.test(text) && BigInt(text) < 2n ** 64n;

/** Refuses a scope that nothing could be spent in. */
export function checkScope({ kind, name }: Scope): void {
  if (name === '') return;
  const fine = { run: isRunId, dataset: isName, unit: isPseudonym }[kind](name);
  if (!fine) throw new AegisError('PRIVACY_POLICY_INVALID', `${JSON.stringify(name)} is no name of a ${kind}.`);
}
