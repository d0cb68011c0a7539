/** How a node answers: as it should, with another result for the same task, in one of the ways that must be refused, or not at all. */
export type Manner = 'honest' | 'other' | 'nan' | 'shape' | 'missing' | 'weight' | 'fail';
export const manners: readonly Manner[] = ['honest', 'other', 'nan', 'shape', 'missing', 'weight', 'fail'];

/** Nodes, aggregators and gateways by number; one that is not there, or not in that state, makes the operation do nothing. */
export type Operation =
  | { readonly do: 'start-run' | 'stop-run' }
  | { readonly do: 'join' | 'pull' | 'push' | 'push-all-at-once' | 'duplicate' | 'answer-again'; readonly node: number }
  | { readonly do: 'answer'; readonly node: number; readonly manner: Manner }
  | { readonly do: 'intrude'; readonly node: number; readonly on: number }
  | { readonly do: 'leave'; readonly node: number; readonly unregister: boolean }
  | { readonly do: 'power-off'; readonly node: number; readonly heard: boolean }
  | { readonly do: 'switch-gateway' | 'cut' | 'heal'; readonly node: number }
  | { readonly do: 'lose'; readonly node: number; readonly what: 'request' | 'answer' }
  | { readonly do: 'kill' | 'start' | 'drain' | 'pause' | 'resume'; readonly process: ProcessName }
  | { readonly do: 'crash-at-write'; readonly process: ProcessName; readonly n: number; readonly after: boolean }
  | { readonly do: 'step-clock'; readonly process: ProcessName; readonly ms: number }
  | { readonly do: 'bus'; readonly is: 'up' | 'down' }
  | { readonly do: 'bus-in-doubt' | 'bus-refuses' | 'events-lost'; readonly next: number }
  | { readonly do: 'slow-bus' | 'slow-disk'; readonly ms: number }
  | { readonly do: 'disk'; readonly is: 'full' | 'free' }
  | { readonly do: 'advance'; readonly ms: number };

export type ProcessName = `aggregator ${number}` | `gateway ${number}`;

/** What there is before the first operation, and the plan of the run. */
export interface Shape {
  readonly nodes: number;
  readonly gateways: number;
  readonly aggregators: number;
  readonly rounds: number;
  /** Who has the first model: the operator, for an app of the message kind, or a node, for a legacy one. */
  readonly firstModel: 'operator' | 'node';
  readonly evaluate: boolean;
  /** Null: every selected node's answer. */
  readonly minReport: number | null;
  readonly minNodes: number;
  readonly overSelect: number;
  readonly deadlineSeconds: number;
  /** Absent: the run promises nothing. Else how its cohorts come about, or noise of a tree; the rest of its privacy is always the same. */
  readonly privacy?: 'none' | 'poisson' | 'fixed' | 'tree';
}

/** A story that the suite has to live through. The same list is the same story, to the byte. */
export interface List {
  readonly name: string;
  readonly seed: number;
  readonly shape: Shape;
  readonly operations: readonly Operation[];
}

/** As it goes into a file of tests/simulation/lists. */
export function printList({ name, seed, shape, operations }: List): string {
  const lines = operations.map((operation) => `    ${literal(operation)},`);
  return [
    'export const list: List = {',
    `  name: '${name}',`,
    `  seed: ${seed},`,
    `  shape: ${literal(shape)},`,
    '  operations: [',
    ...lines,
    '  ],',
    '};',
  ].join('\n');
}

const literal = (value: object): string => {
  const fields = Object.entries(value).map(
    ([key, field]) => `${key}: ${typeof field === 'string' ? `'${field}'` : field}`,
  );
  return `{ ${fields.join(', ')} }`;
};
