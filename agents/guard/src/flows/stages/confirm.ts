import type { SurvivorList } from '@aegis/core-native/secagg';
import { z } from 'zod';
import { answered, readRequest, type StageWork } from './stage.ts';

const list = z.strictObject({ terms: z.string(), survivors: z.array(z.string()) });

/** Round 3: whose vectors are in the sum; a signature over them and the model. */
export const confirm = async (work: StageWork): Promise<void> => {
  const { client, signing, request } = work;
  const survivors: SurvivorList = readRequest(request, list);
  await answered(work, 'confirm', await client.confirmSurvivors(survivors, signing.key));
};
