/**
 * `viewer` sees runs, nodes, what they consent to, models and budgets. `runner` also starts from plans, stops, signs, imports and exports. `auditor` sees what a
 * viewer sees, and reads the audit log and the ledger. `admin` may do everything.
 */
export const OPERATOR_ROLES = ['viewer', 'runner', 'auditor', 'admin'] as const;
export type OperatorRole = (typeof OPERATOR_ROLES)[number];

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

/** May a token of this role call this method of the operator's door? A method that no list names is the admin's. */
export const mayOperate = (role: OperatorRole, method: string): boolean =>
  role === 'admin' || allowed[role].has(method);
