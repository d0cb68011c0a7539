import type { ConfigEntry as WireEntry, Scalar as WireScalar } from '@aegis/contracts/aegis/events/v1/task';
import { AegisError } from '@aegis/errors';
import type { ConfigEntry, Scalar } from '../domain/scalar.ts';

export function readEntries(entries: readonly WireEntry[]): ConfigEntry[] {
  return entries.map(({ key, value }) => ({ key, value: readScalar(key, value) }));
}

function readScalar(key: string, scalar: WireScalar | undefined): Scalar {
  const value = scalar?.value;
  if (value === undefined) throw new AegisError('REQUEST_MALFORMED', `${JSON.stringify(key)} has no value.`);
  switch (value.$case) {
    case 'real':
    case 'integer':
    case 'flag':
    case 'text':
    case 'data':
      return { kind: value.$case, value: value.value } as Scalar;
    default:
      return { kind: value.$case, value: value.value.values } as Scalar;
  }
}

export const writeEntries = (entries: readonly ConfigEntry[]): WireEntry[] =>
  entries.map(({ key, value }) => ({ key, value: writeScalar(value) }));

function writeScalar(scalar: Scalar): WireScalar {
  switch (scalar.kind) {
    case 'real':
    case 'integer':
    case 'flag':
    case 'text':
    case 'data':
      return { value: { $case: scalar.kind, value: scalar.value } as WireScalar['value'] };
    default:
      return { value: { $case: scalar.kind, value: { values: scalar.value } } as unknown as WireScalar['value'] };
  }
}
