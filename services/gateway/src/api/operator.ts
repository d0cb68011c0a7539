import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { AegisError } from '@aegis/errors';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import type { Account } from '../domain/account.ts';
import type { AuditEvent } from '../domain/audit.ts';
import { mayStop } from '../domain/control-access.ts';
import { invitationId } from '../domain/invitation.ts';
import { approveNode } from '../flows/approve-node.ts';
import { listConsents } from '../flows/consent.ts';
import type { Gateway } from '../flows/gateway.ts';
import { inviteNode, listInvitations, withdrawInvitation } from '../flows/invitations.ts';
import { listModels } from '../flows/list-models.ts';
import { listNodes } from '../flows/list-nodes.ts';
import { listRuns } from '../flows/list-runs.ts';
import { exportModel, importModel } from '../flows/move-model.ts';
import { putPlan } from '../flows/put-plan.ts';
import { removeNode } from '../flows/remove-node.ts';
import { signApp } from '../flows/sign-app.ts';
import { stopRun } from '../flows/stop-run.ts';
import { takeOverRun } from '../flows/take-over-run.ts';
import { watchRun } from '../flows/watch-run.ts';
import { accountOfCall } from './operator-door.ts';
import { ledgerHandlers } from './operator-ledger.ts';
import {
  encodeConsents,
  encodeEvent,
  encodeInvitation,
  encodeModel,
  encodeNode,
  encodeRun,
} from './operator-messages.ts';

/** Of a run that an account started; one that nobody did is whoever's who may stop any. */
const demandOwn = async (gateway: Gateway, account: Account, runId: bigint): Promise<void> => {
  const [found] = await listRuns(gateway, { runId, limit: 1, skip: 0 });
  const owner = found?.run.owner;
  if (owner === undefined || mayStop(account, owner)) return;
  throw new AegisError('OPERATOR_FORBIDDEN', `It is the run of ${owner.name}, and ${account.name} is no admin.`);
};

/** What the `aegis` command asks. Who may ask is settled before a call gets here; `caller` is who it is, as the audit log says it. */
export const operatorService = (gateway: Gateway): LocalService => {
  const did = (caller: string, event: AuditEvent, subject: string, detail = ''): Promise<void> =>
    gateway.audit.note({ event, actor: caller, subject, detail });
  return serviceOf(OperatorService, {
    listNodes: async () => ({ nodes: (await listNodes(gateway)).map(encodeNode) }),
    approveNode: async ({ publicKey, name }, { caller }) => {
      const { nodeId, fingerprint } = await approveNode(gateway, publicKey.toString('utf8'), name);
      await did(caller, 'node-approved', `node ${nodeId}`, `${name} key ${fingerprint}`.trim());
      return { nodeId };
    },
    removeNode: async ({ nodeId }, { caller }) => {
      await removeNode(gateway, nodeId);
      await did(caller, 'node-removed', `node ${nodeId}`);
      return {};
    },
    inviteNode: async ({ name, seconds }, { caller }) => {
      const { token, invitation } = await inviteNode(gateway, { name, seconds });
      await did(caller, 'invitation-made', `invitation ${invitationId(invitation)}`, `${name} for ${seconds} s`.trim());
      return { token, invitation: encodeInvitation(invitation, gateway.clock.now()) };
    },
    listInvitations: async () => ({
      invitations: (await listInvitations(gateway)).map((one) => encodeInvitation(one, gateway.clock.now())),
    }),
    listConsents: async () => ({ consents: (await listConsents(gateway)).flatMap(encodeConsents) }),
    revokeInvitation: async ({ id }, { caller }) => {
      await withdrawInvitation(gateway, id);
      await did(caller, 'invitation-revoked', `invitation ${id}`);
      return {};
    },
    listRuns: async (query) => ({ runs: (await listRuns(gateway, query)).map(encodeRun) }),
    watchRun: async function* ({ runId }, { signal }) {
      for await (const event of watchRun(gateway, runId, signal)) yield encodeEvent(event);
    },
    stopRun: async ({ runId }, call) => {
      await demandOwn(gateway, accountOfCall(call), runId);
      await stopRun(gateway, runId);
      await did(call.caller, 'run-stopped', `run ${runId}`);
      return {};
    },
    takeOverRun: async ({ runId }, { caller }) => {
      await takeOverRun(gateway, runId);
      await did(caller, 'run-taken-over', `run ${runId}`);
      return {};
    },
    signApp: async (signature, { caller }) => {
      await signApp(gateway, signature);
      await did(caller, 'app-signed', `app ${signature.appHash}`, `key id ${signature.keyId}`);
      return {};
    },
    putPlan: async (plan, { caller }) => {
      const modelId = await putPlan(gateway, plan);
      await did(caller, 'plan-put', `app ${plan.appId}`, modelId === '' ? '' : `first model ${modelId}`);
      return { modelId };
    },
    listModels: async ({ runId }) => ({ models: (await listModels(gateway, runId)).map(encodeModel) }),
    importModel: async ({ name, format, content }, { caller }) => {
      const model = await importModel(gateway, name, format, content);
      await did(caller, 'model-imported', `model ${model.modelId}`, name);
      return encodeModel(model);
    },
    exportModel: async function* (query, { caller, signal }) {
      await did(
        caller,
        'model-exported',
        query.modelId === '' ? `run ${query.runId} round ${query.round}` : `model ${query.modelId}`,
      );
      yield* exportModel(gateway, query, signal);
    },
    ...ledgerHandlers(gateway, did),
    readAudit: async function* ({ after }) {
      for await (const entry of gateway.audit.read(Number(after))) {
        yield { ...entry, sequence: BigInt(entry.sequence) };
      }
    },
  });
};
