import { readFileSync } from 'node:fs';

/** For what is open besides connections: the bus, the aggregator, logs, and in one process with it its data files. */
const LEAST_RESERVE = 256;
const RESERVED_PART = 1 / 8;
/** Where the system does not say how many files may be open. */
const UNKNOWN = 4_096;
const MOST = 50_000;

/** How many connections the port takes by default, from the text of /proc/self/limits. */
export const connectionsWithin = (limitsText: string): number => {
  const soft = /^Max open files +(\d+|unlimited)/m.exec(limitsText)?.[1];
  if (soft === 'unlimited') return MOST;
  const files = Number(soft ?? UNKNOWN);
  const reserve = Math.max(LEAST_RESERVE, Math.ceil(files * RESERVED_PART));
  return Math.min(MOST, Math.max(LEAST_RESERVE, files - reserve));
};

export const defaultConnections = (): number => {
  try {
    return connectionsWithin(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return connectionsWithin('');
  }
};

/** One address may be many nodes behind one router, and must not be everything. */
export const connectionsPerAddress = (connections: number): number => Math.max(256, Math.floor(connections / 4));
