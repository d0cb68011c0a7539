import { z } from 'zod';
import type { CallClass, Rates } from './domain/admission.ts';
import type { Rate } from './domain/token-bucket.ts';

/** Strangers of all addresses together have so many times what one address has. */
const ALL_ADDRESSES = 5;

const rate = (perSecond: number, burst: number) =>
  z
    .strictObject({
      'per-second': z.number().positive().default(perSecond),
      burst: z.number().min(1).default(burst),
    })
    .prefault({})
    .transform((given): Rate => ({ perSecond: given['per-second'], burst: given.burst }));

const ofStrangers = (perSecond: number, burst: number) =>
  z.strictObject({ address: rate(perSecond, burst) }).prefault({});
const ofBoth = (address: readonly [number, number], caller: readonly [number, number]) =>
  z.strictObject({ address: rate(...address), caller: rate(...caller) }).prefault({});

/**
 * `address`: strangers from one address, per class of call; `caller`: one node, or one operator. The defaults let ten thousand honest
 * SuperNodes come back at once from one address.
 */
export const ratesConfig = z
  .strictObject({
    connections: ofStrangers(200, 20_000),
    enrolment: ofStrangers(200, 20_000),
    calls: ofBoth([200, 20_000], [500, 20_000]),
    uploads: ofBoth([100, 10_000], [500, 20_000]),
    control: ofBoth([100, 5_000], [500, 5_000]),
    rest: ofBoth([1_000, 20_000], [100, 2_000]),
  })
  .prefault({});
type Configured = z.infer<typeof ratesConfig>;

export const ratesOf = (configured: Configured, registrationsPerMinute: number): Rates => {
  const registrations = { perSecond: registrationsPerMinute / 60, burst: registrationsPerMinute };
  const of = ({ address, caller = address }: { address: Rate; caller?: Rate }) => ({
    address,
    caller,
    everybody: { perSecond: address.perSecond * ALL_ADDRESSES, burst: address.burst * ALL_ADDRESSES },
  });
  return {
    connections: of(configured.connections),
    enrolment: of(configured.enrolment),
    calls: of(configured.calls),
    uploads: of(configured.uploads),
    control: of(configured.control),
    rest: of(configured.rest),
    registrations: of({ address: registrations }),
  } satisfies Record<CallClass, unknown>;
};
