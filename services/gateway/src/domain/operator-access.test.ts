import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { describe, expect, it } from 'vitest';
import { mayOperate, OPERATOR_ROLES, type OperatorRole } from './operator-access.ts';

const methods = Object.keys(OperatorService);
const of = (role: OperatorRole) => methods.filter((method) => mayOperate([role], method));

describe('roles of operators', () => {
  it('let an admin do everything', () => {
    expect(of('admin')).toEqual(methods);
  });

  it('let whoever is no admin let nobody in or out, nor touch a budget', () => {
    const guarded = ['approveNode', 'removeNode', 'inviteNode', 'revokeInvitation', 'setBudget', 'takeOverRun'];
    for (const role of OPERATOR_ROLES.filter((one) => one !== 'admin')) {
      expect(of(role).filter((method) => guarded.includes(method))).toEqual([]);
    }
  });

  it('let everybody see runs, and only auditors and admins what others did', () => {
    for (const role of OPERATOR_ROLES) expect(mayOperate([role], 'listRuns')).toBe(true);
    expect(OPERATOR_ROLES.filter((role) => mayOperate([role], 'readAudit'))).toEqual(['auditor', 'admin']);
    expect(OPERATOR_ROLES.filter((role) => mayOperate([role], 'exportModel'))).toEqual(['runner', 'admin']);
  });

  it('leave a method that nobody thought of to the admin', () => {
    expect(OPERATOR_ROLES.filter((role) => mayOperate([role], 'formatDisk'))).toEqual(['admin']);
  });
});
