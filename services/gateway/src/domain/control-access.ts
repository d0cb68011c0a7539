import type { Account } from './account.ts';
import type { EnrolmentPolicy } from './enrolment.ts';
import type { OperatorRole } from './operator-access.ts';

/**
 * Who may use Flower's Control API. loopback: callers on this machine. open: everybody, but while nodes need an
 * operator's approval, what concerns nodes stays with this machine. accounts: whoever shows an account, as its roles
 * allow, wherever it is. off: nobody.
 */
export type ControlPolicy = 'loopback' | 'open' | 'accounts' | 'off';

/** What it does. */
export type ControlDeed = 'see-runs' | 'see-nodes' | 'start-run' | 'stop-run' | 'manage-nodes';

export interface ControlRules {
  readonly control: ControlPolicy;
  readonly enrolment: EnrolmentPolicy;
}

const nodeDeeds: ReadonlySet<ControlDeed> = new Set(['see-nodes', 'manage-nodes']);

/** Without accounts, by where the caller is. `peer`: remote address of the connection; one that is not known is not on this machine. */
export const mayControl = ({ control, enrolment }: ControlRules, peer: string, deed: ControlDeed): boolean => {
  if (control === 'off' || control === 'accounts') return false;
  if (isLoopback(peer)) return true;
  return control === 'open' && (!nodeDeeds.has(deed) || enrolment === 'open');
};

const seeing: readonly ControlDeed[] = ['see-runs', 'see-nodes'];
const allowed: Readonly<Record<OperatorRole, ReadonlySet<ControlDeed>>> = {
  viewer: new Set(seeing),
  auditor: new Set(seeing),
  runner: new Set([...seeing, 'start-run', 'stop-run']),
  admin: new Set([...seeing, 'start-run', 'stop-run', 'manage-nodes']),
};

/** Whether a role of the account allows it. Which run it stops: mayStop. */
export const accountMay = ({ roles }: Pick<Account, 'roles'>, deed: ControlDeed): boolean =>
  roles.some((role) => allowed[role].has(deed));

/** Admins stop any run, others their own. A run that no account started is nobody's own. */
export const mayStop = ({ id, roles }: Account, owner: { readonly id: string } | undefined): boolean =>
  roles.includes('admin') || (roles.includes('runner') && owner?.id === id);

const loopback = /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/i;

/** 127.0.0.0/8, ::1, and the former as IPv6 writes it. */
export const isLoopback = (address: string): boolean => loopback.test(address);
