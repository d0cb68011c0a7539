import { OperatorService } from '@aegis/contracts/aegis/operator/v1/operator';
import { type LocalService, serviceOf } from '@aegis/service-kit';
import { approveNode } from '../flows/approve-node.ts';
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
import { ledgerHandlers } from './operator-ledger.ts';
import { encodeEvent, encodeInvitation, encodeModel, encodeNode, encodeRun } from './operator-messages.ts';

/** What the `aegis` command asks. Who may ask is settled before a call gets here. */
export const operatorService = (gateway: Gateway): LocalService =>
  serviceOf(OperatorService, {
    listNodes: async () => ({ nodes: (await listNodes(gateway)).map(encodeNode) }),
    approveNode: async ({ publicKey, name }) => ({
      nodeId: (await approveNode(gateway, publicKey.toString('utf8'), name)).nodeId,
    }),
    removeNode: async ({ nodeId }) => {
      await removeNode(gateway, nodeId);
      return {};
    },
    inviteNode: async ({ name, seconds }) => {
      const { token, invitation } = await inviteNode(gateway, { name, seconds });
      return { token, invitation: encodeInvitation(invitation, gateway.clock.now()) };
    },
    listInvitations: async () => ({
      invitations: (await listInvitations(gateway)).map((one) => encodeInvitation(one, gateway.clock.now())),
    }),
    revokeInvitation: async ({ id }) => {
      await withdrawInvitation(gateway, id);
      return {};
    },
    listRuns: async (query) => ({ runs: (await listRuns(gateway, query)).map(encodeRun) }),
    watchRun: async function* ({ runId }, { signal }) {
      for await (const event of watchRun(gateway, runId, signal)) yield encodeEvent(event);
    },
    stopRun: async ({ runId }) => {
      await stopRun(gateway, runId);
      return {};
    },
    takeOverRun: async ({ runId }) => {
      await takeOverRun(gateway, runId);
      return {};
    },
    signApp: async (signature) => {
      await signApp(gateway, signature);
      return {};
    },
    putPlan: async (plan) => ({ modelId: await putPlan(gateway, plan) }),
    listModels: async ({ runId }) => ({ models: (await listModels(gateway, runId)).map(encodeModel) }),
    importModel: async ({ name, format, content }) => encodeModel(await importModel(gateway, name, format, content)),
    exportModel: (query, { signal }) => exportModel(gateway, query, signal),
    ...ledgerHandlers(gateway),
  });
