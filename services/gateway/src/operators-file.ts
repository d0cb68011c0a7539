import { isFederationName } from '@aegis/service-kit';
import { z } from 'zod';
import { OPERATOR_ROLES } from './domain/operator-access.ts';

export { OPERATOR_ROLES, type OperatorRole } from './domain/operator-access.ts';

/** JSON: who has a token besides the first operator. `aegis operators` writes it, gateways read it. The tokens themselves are in no file. */
export const operatorsFile = z.strictObject({
  operators: z.array(
    z.strictObject({
      name: z.string().refine(isFederationName, 'is no name'),
      role: z.enum(OPERATOR_ROLES),
      /** Of the token, hex. Tokens are 256 random bits: nobody finds one by its hash. */
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      /** ISO 8601; from then on the token is nobody's. */
      expires: z.iso.datetime().optional(),
    }),
  ),
});
export type OperatorRecord = z.infer<typeof operatorsFile>['operators'][number];
