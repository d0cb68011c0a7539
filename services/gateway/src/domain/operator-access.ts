/**
 * `viewer` sees runs, nodes, what they consent to, models and budgets. `runner` also starts from plans, stops, signs, imports and exports. `auditor` sees what a
 * viewer sees, and reads the audit log and the ledger. `admin` may do everything.
 */
export const OPERATOR_ROLES = ['viewer', 'runner', 'auditor', 'admin'] as const;
export type OperatorRole = (typeof OPERATOR_ROLES)[number];

/** Whoever has the first token; others have names of their own. */
export const FIRST_OPERATOR = 'operator';

/** Whose token a call showed. */
export interface OperatorIdentity {
  readonly name: string;
  readonly role: OperatorRole;
}

const viewing = ['listNodes', 'listConsents', 'listRuns', 'watchRun', 'listModels', 'listBudgets', 'watchBudgets'];
const allowed: Readonly<Record<Exclude<OperatorRole, 'admin'>, ReadonlySet<string>>> = {
  viewer: new Set(viewing),
  runner: new Set([...viewing, ...['stopRun', 'putPlan', 'signApp', 'importModel', 'exportModel', 'privacyStatement']]),
  auditor: new Set([...viewing, ...['readAudit', 'verifyLedger', 'readLedger', 'privacyStatement', 'listInvitations']]),
};

/** May whoever has these roles call this method of the operator's door? A method that no list names is the admin's. */
export const mayOperate = (roles: readonly OperatorRole[], method: string): boolean =>
  roles.some((role) => role === 'admin' || allowed[role].has(method));
