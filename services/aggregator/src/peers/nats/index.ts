import type { Bus } from '@aegis/bus';
import type { Clock, Logger } from '@aegis/service-kit';
import type { Ledger, Peers, Secagg } from '../contract.ts';
import { natsConsents } from './consents.ts';
import { natsMailbox } from './mailbox.ts';
import { natsPresence } from './presence.ts';
import { natsRunFeed } from './run-feed.ts';

export async function natsPeers(
  bus: Bus,
  clock: Clock,
  log: Logger,
  parallelTasks: number,
  { ledger, secagg }: { ledger: Ledger | null; secagg: Secagg | null },
): Promise<Peers> {
  const presence = await natsPresence(bus, clock, log);
  const consents = await natsConsents(bus, log);
  return {
    mailbox: await natsMailbox(bus, parallelTasks),
    presence,
    consents,
    feed: natsRunFeed(bus, log),
    ledger,
    secagg,
    close: async () => {
      presence.close();
      consents.close();
    },
  };
}
