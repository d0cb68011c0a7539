import { EmbeddedAegis } from '../peers/aegis.ts';
import type { Reach } from '../peers/aegis-cli.ts';
import { type Part, SeparateAegis } from '../peers/aegis-separate.ts';
import type { Server } from '../peers/contract.ts';

export interface Victim {
  name: string;
  weight: number;
  kill(): Promise<void>;
  /** Starts again what was killed; does not wait until it works. */
  raise(): Promise<void>;
}

/** A suite that is killed in parts and started again on the same files, as a service manager would. */
export interface Fortress {
  server: Server & { reach: Reach };
  victims: Victim[];
  /** Starts what ended although nobody killed it; their names. */
  mend(): Promise<string[]>;
}

export type FortressKind = 'embedded' | 'separate';

export const buildFortress = (kind: FortressKind, folder: string): Promise<Fortress> =>
  kind === 'embedded' ? buildEmbedded(folder) : buildSeparate(folder);

async function buildEmbedded(folder: string): Promise<Fortress> {
  const server = await EmbeddedAegis.start(folder);
  let down = false;
  return {
    server,
    victims: [
      {
        name: 'whole suite',
        weight: 1,
        kill: async () => {
          down = true;
          await server.kill();
        },
        raise: async () => {
          server.startAgain();
          down = false;
        },
      },
    ],
    mend: async () => {
      if (down || server.alive) return [];
      server.startAgain();
      return ['suite'];
    },
  };
}

async function buildSeparate(folder: string): Promise<Fortress> {
  const server = await SeparateAegis.start(folder);
  const down = new Set<Part>();
  const victim = (name: string, weight: number, parts: Part[]): Victim => ({
    name,
    weight,
    kill: async () => {
      for (const part of parts) down.add(part);
      await Promise.all(parts.filter((part) => server.alive(part)).map((part) => server.kill(part)));
    },
    raise: async () => {
      for (const part of parts) {
        await server.startAgain(part);
        down.delete(part);
      }
    },
  });
  return {
    server,
    victims: [
      victim('gateway', 4, ['gateway']),
      victim('aggregator', 4, ['aggregator']),
      victim('nats-server', 2, ['nats-server']),
      victim('all three', 1, ['nats-server', 'aggregator', 'gateway']),
    ],
    mend: async () => {
      const ended = (['nats-server', 'aggregator', 'gateway'] as const).filter(
        (part) => !down.has(part) && !server.alive(part),
      );
      for (const part of ended) await server.startAgain(part);
      return ended;
    },
  };
}
