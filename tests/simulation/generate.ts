import { Chance } from './chance.ts';
import { type List, type Manner, manners, type Operation, type ProcessName, type Shape } from './operations.ts';

/** The list of a seed: small worlds, a run, and anything that can happen to it. */
export function generate(seed: number): List {
  const chance = new Chance(seed);
  const shape = perhapsPrivate(seed, drawShape(chance));
  const operations: Operation[] = [{ do: 'start-run' }];
  for (let node = 0; node < shape.nodes; node += 1) if (chance.maybe(0.8)) operations.push({ do: 'join', node });
  if (chance.maybe(0.4)) operations.push({ do: 'slow-bus', ms: chance.oneOf([3, 50, 700]) });
  if (chance.maybe(0.25)) operations.push({ do: 'slow-disk', ms: chance.oneOf([5, 100, 3_000]) });
  const length = chance.between(6, 40);
  while (operations.length < length) operations.push(...drawOperation(chance, shape));
  return { name: `seed ${seed}`, seed, shape, operations };
}

function drawShape(chance: Chance): Shape {
  const nodes = chance.between(2, 4);
  const minNodes = chance.between(1, Math.min(nodes, 3));
  return {
    nodes,
    gateways: chance.maybe(0.35) ? 2 : 1,
    aggregators: chance.maybe(0.4) ? 2 : 1,
    rounds: chance.oneOf([1, 1, 2, 2, 3]),
    firstModel: chance.maybe(0.25) ? 'node' : 'operator',
    evaluate: chance.maybe(0.35),
    minReport: chance.maybe(0.3) ? chance.between(1, minNodes) : null,
    minNodes,
    overSelect: chance.maybe(0.2) ? 1.5 : 1,
    deadlineSeconds: chance.oneOf([5, 20, 60]),
  };
}

/** A third of all runs are private. By a chance of their own: what else happens to a seed's run does not depend on it. */
function perhapsPrivate(seed: number, shape: Shape): Shape {
  const chance = new Chance(seed + 0x5eed);
  if (!chance.maybe(0.33)) return shape;
  const privacy = chance.oneOf(['none', 'none', 'poisson', 'fixed'] as const);
  const common = { firstModel: 'operator', minReport: null, overSelect: 1 } as const;
  // each node takes part once, so one a round
  if (privacy === 'none' && chance.maybe(0.5)) return { ...shape, ...common, privacy: 'tree', minNodes: 1 };
  return { ...shape, ...common, privacy };
}

type Draw = (chance: Chance, shape: Shape) => Operation[];

const nodeOf = (chance: Chance, shape: Shape): number => chance.below(shape.nodes);
const processOf = (chance: Chance, shape: Shape): ProcessName =>
  chance.maybe(0.65) ? `aggregator ${chance.below(shape.aggregators)}` : `gateway ${chance.below(shape.gateways)}`;
const mannerOf = (chance: Chance): Manner => (chance.maybe(0.75) ? 'honest' : chance.oneOf(manners));
const shortTime = (chance: Chance): number => chance.oneOf([1, 10, 100, 500, 1_000, 2_500]);

/** What happens, and how often compared with the rest. */
const draws: readonly (readonly [number, Draw])[] = [
  [10, (chance, shape) => [{ do: 'pull', node: nodeOf(chance, shape) }]],
  [
    14,
    (chance, shape) => {
      const node = nodeOf(chance, shape);
      return [
        { do: 'pull', node },
        { do: 'advance', ms: shortTime(chance) },
        { do: 'answer', node, manner: mannerOf(chance) },
      ];
    },
  ],
  [12, (chance, shape) => [{ do: 'answer', node: nodeOf(chance, shape), manner: mannerOf(chance) }]],
  [6, (chance, shape) => [{ do: 'push', node: nodeOf(chance, shape) }]],
  [4, (chance, shape) => [{ do: 'push-all-at-once', node: nodeOf(chance, shape) }]],
  [3, (chance, shape) => [{ do: 'duplicate', node: nodeOf(chance, shape) }]],
  [2, (chance, shape) => [{ do: 'answer-again', node: nodeOf(chance, shape) }]],
  [1, (chance, shape) => [{ do: 'intrude', node: nodeOf(chance, shape), on: nodeOf(chance, shape) }]],
  [4, (chance, shape) => [{ do: 'join', node: nodeOf(chance, shape) }]],
  [1, (chance, shape) => [{ do: 'leave', node: nodeOf(chance, shape), unregister: chance.maybe(0.5) }]],
  [2, (chance, shape) => [{ do: 'power-off', node: nodeOf(chance, shape), heard: chance.maybe(0.5) }]],
  [2, (chance, shape) => [{ do: 'switch-gateway', node: nodeOf(chance, shape) }]],
  [1, (chance, shape) => [{ do: 'cut', node: nodeOf(chance, shape) }]],
  [1, (chance, shape) => [{ do: 'heal', node: nodeOf(chance, shape) }]],
  [5, (chance, shape) => [{ do: 'lose', node: nodeOf(chance, shape), what: chance.oneOf(['request', 'answer']) }]],
  [4, (chance, shape) => [{ do: 'kill', process: processOf(chance, shape) }]],
  [7, (chance, shape) => [{ do: 'start', process: processOf(chance, shape) }]],
  [
    9,
    (chance, shape) => {
      const process = processOf(chance, shape);
      return [
        { do: 'kill', process },
        { do: 'start', process },
      ];
    },
  ],
  [
    6,
    (chance, shape) => [
      {
        do: 'crash-at-write',
        process: processOf(chance, shape),
        n: chance.between(1, chance.maybe(0.7) ? 4 : 15),
        after: chance.maybe(0.5),
      },
    ],
  ],
  [2, (chance, shape) => [{ do: 'drain', process: processOf(chance, shape) }]],
  [4, (chance, shape) => [{ do: 'pause', process: processOf(chance, shape) }]],
  [4, (chance, shape) => [{ do: 'resume', process: processOf(chance, shape) }]],
  [
    2,
    (chance, shape) => {
      const process = processOf(chance, shape);
      return [
        { do: 'pause', process },
        { do: 'advance', ms: 20_000 },
        { do: 'advance', ms: 12_000 },
        { do: 'resume', process },
      ];
    },
  ],
  [
    1,
    (chance, shape) => [
      {
        do: 'step-clock',
        process: processOf(chance, shape),
        ms: chance.oneOf([-3_600_000, -10_000, 10_000, 3_600_000]),
      },
    ],
  ],
  [2, () => [{ do: 'bus', is: 'down' }]],
  [3, () => [{ do: 'bus', is: 'up' }]],
  [3, (chance) => [{ do: 'bus-in-doubt', next: chance.between(1, 4) }]],
  [2, (chance) => [{ do: 'bus-refuses', next: chance.between(1, 4) }]],
  [2, (chance) => [{ do: 'events-lost', next: chance.between(1, 3) }]],
  [1, (chance) => [{ do: 'slow-bus', ms: chance.oneOf([0, 3, 50, 700]) }]],
  [1, (chance) => [{ do: 'slow-disk', ms: chance.oneOf([0, 5, 100, 3_000]) }]],
  [1, () => [{ do: 'disk', is: 'full' }]],
  [2, () => [{ do: 'disk', is: 'free' }]],
  [12, (chance) => [{ do: 'advance', ms: shortTime(chance) }]],
  [4, (chance) => [{ do: 'advance', ms: chance.oneOf([6_000, 16_000, 31_000]) }]],
  [0.5, () => [{ do: 'stop-run' }]],
];
const total = draws.reduce((sum, [weight]) => sum + weight, 0);

function drawOperation(chance: Chance, shape: Shape): Operation[] {
  let left = chance.next() * total;
  for (const [weight, draw] of draws) {
    left -= weight;
    if (left < 0) return draw(chance, shape);
  }
  return [];
}
