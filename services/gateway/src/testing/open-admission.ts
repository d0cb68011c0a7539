import type { Clock } from '@aegis/service-kit';
import { Admission } from '../flows/admission.ts';
import { Allowances } from '../flows/allowances.ts';
import { ratesConfig, ratesOf } from '../rates-config.ts';

/** The rates that a gateway has by default, and no load. */
export const openAdmission = (clock: Pick<Clock, 'monotonic'>): Admission =>
  new Admission({
    allowances: new Allowances(ratesOf(ratesConfig.parse({}), 60)),
    ...{ clock, unlimited: [], pressure: () => 'calm' as const },
  });
