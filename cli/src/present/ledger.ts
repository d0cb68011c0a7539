import type { Entry } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { formatTime, isoTime } from './values.ts';

export const entryJson = ({ sequence, at, hash, content }: Entry) => ({
  sequence,
  at: isoTime(at),
  hash,
  entry: JSON.parse(content) as unknown,
});

export const entryHead = ['ENTRY', 'AT', 'KIND', 'WHAT', 'HASH'];

export const entryRow = ({ sequence, at, hash, content }: Entry): string[] => {
  const entry = JSON.parse(content) as Record<string, unknown>;
  return [sequence.toString(), formatTime(at), String(entry.kind), describe(entry), hash.slice(0, 12)];
};

/** Entries of later releases are shown as far as they look like ours. */
function describe(entry: Record<string, unknown>): string {
  switch (entry.kind) {
    case 'reserved':
      return `${entry.key} as ${entry.id}: ${eventsOf(entry.events)}, units ${entry.units}`;
    case 'committed':
      return `${entry.id}: ${eventsOf(entry.events)}, result ${String(entry.result).slice(0, 12)}`;
    case 'released':
      return `${entry.id}: ${entry.proof}${entry.reason === '' ? '' : `, ${entry.reason}`}`;
    case 'budget':
      return `${scopeOf(entry.scope)}: epsilon ${entry.epsilon} at delta ${entry.delta}`;
    case 'run':
      return `${policyOf(entry.policy)}: epsilon ${entry.epsilon} at delta ${entry.delta}`;
    case 'opened':
      return `writer ${entry.epoch}`;
    default:
      return '';
  }
}

const eventsOf = (events: unknown): string =>
  (Array.isArray(events) ? (events as [string, number][]) : [])
    .map(([text, count]) => {
      const { mechanism, 'noise-multiplier': noise } = JSON.parse(text) as Record<string, unknown>;
      return `${count} × ${mechanism} ${noise}`;
    })
    .join(', ');

const scopeOf = (scope: unknown): string => {
  const { kind, name } = scope as Record<string, unknown>;
  return `${kind} ${name === '' ? '(default)' : name}`;
};

const policyOf = (policy: unknown): string => {
  const { runId, dataset, unit, schedule } = policy as Record<string, unknown>;
  return `run ${runId} on ${dataset}, per ${unit}, ${schedule === null ? 'adaptive' : 'with a schedule'}`;
};
