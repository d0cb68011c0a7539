/** One SuperNode of the demo. */
export interface Role {
  readonly name: string;
  /** Release of flwr it runs. */
  readonly release: string;
  /** Whose images it holds. */
  readonly partition: number;
  /** Killed without warning in the middle of the run. */
  readonly victim?: boolean;
}

/** Release whose `flwr` starts the run, and whose Python looks at the result. */
export const cliRelease = '1.41.0';

/** Two wires (HTTP from 1.40 on, gRPC before), three dialects. The one that is killed holds the fewest images. */
export const cast: readonly Role[] = [
  { name: 'ada', release: '1.41.0', partition: 0 },
  { name: 'bob', release: '1.39.0', partition: 1, victim: true },
  { name: 'cleo', release: '1.41.0', partition: 2 },
  { name: 'dan', release: '1.39.0', partition: 3 },
  { name: 'eve', release: '1.22.0', partition: 4 },
];

export const releases = [...new Set(cast.map(({ release }) => release))];

export const wireOf = (release: string): 'HTTP' | 'gRPC' => (minorOf(release) >= 40 ? 'HTTP' : 'gRPC');

export const minorOf = (release: string): number => Number(release.split('.')[1]);
