import type { UnmaskRequest } from '@aegis/core-native/secagg';
import { z } from 'zod';
import { lineOf } from '../refuse-task.ts';
import { answered, readRequest, type StageWork } from './stage.ts';

const form = z.strictObject({
  terms: z.string(),
  survivors: z.array(z.string()),
  dropped: z.array(z.string()),
  confirmations: z.array(z.unknown()),
});

/** Round 4, the last: of each survivor the share of its seed, of each that dropped out the share of its key. The owner is told of whom. */
export const unmask = async (work: StageWork): Promise<void> => {
  const { guard, round, client, request } = work;
  const asked = readRequest(request, form) as UnmaskRequest;
  const opened = await client.unmask(asked);
  const [survivors, dropped] = [asked.survivors.length, asked.dropped.length];
  guard.audit.write({ event: 'sum-opened', ...lineOf(round.task), survivors, dropped });
  await answered(work, 'unmask', opened);
};
