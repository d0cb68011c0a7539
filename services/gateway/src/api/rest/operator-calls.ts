import { AegisError } from '@aegis/errors';
import type { z } from 'zod';
import type { Balance } from '../../domain/ledger.ts';
import type { RunSummary } from '../../domain/run.ts';
import { listBudgets } from '../../flows/ask-ledger.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { listNodes, type NodeView } from '../../flows/list-nodes.ts';
import { listRuns } from '../../flows/list-runs.ts';
import { watchRun } from '../../flows/watch-run.ts';
import type { RestCall } from './calls.ts';
import type { OperatorEndpoint } from './endpoints.ts';
import { sendEvents } from './events.ts';
import { plain, progressOf } from './plain.ts';
import * as schemas from './schemas.ts';

/** What operators may see over REST: what `aegis runs`, `aegis nodes` and `aegis budget` show. */
export const operatorCalls = (
  gateway: Gateway,
): Readonly<Record<OperatorEndpoint, (call: RestCall) => Promise<unknown>>> => ({
  runs: async ({ query }) => ({ runs: (await listRuns(gateway, query as z.infer<typeof schemas.page>)).map(runOf) }),
  'run-events': async ({ parameters, response, signal, mayGoOn }) => {
    const runId = readRunId(parameters.run ?? '');
    // Before the head of the answer is sent: an unknown run is a refusal, no empty stream.
    if ((await listRuns(gateway, { runId, limit: 1, skip: 0 })).length === 0) throw new AegisError('RUN_NOT_FOUND');
    await sendEvents(response, { clock: gateway.clock, signal, mayGoOn }, async function* (ending) {
      for await (const { run, message, nodes } of watchRun(gateway, runId, ending)) {
        const states = nodes.map(({ nodeId, state, reason }) => ({ nodeId: nodeId.toString(), state, reason }));
        yield { event: 'run', data: { run: runOf(run), message, nodes: states } };
      }
    });
  },
  nodes: async () => ({ nodes: (await listNodes(gateway)).map(nodeOf) }),
  budgets: async ({ query }) => {
    const { units } = query as z.infer<typeof schemas.budgetQuery>;
    const { balances, defaults } = await listBudgets(gateway, units);
    return { budgets: balances.map(balanceOf), defaults: defaults.map(balanceOf) };
  },
});

const readRunId = (text: string): bigint => {
  if (schemas.uint64.safeParse(text).success && BigInt(text) < 2n ** 64n) return BigInt(text);
  throw new AegisError('RUN_NOT_FOUND');
};

/** null: never. */
const timeOf = (seconds: number): string | null => (seconds > 0 ? new Date(seconds * 1000).toISOString() : null);

const runOf = (summary: RunSummary): schemas.RestRun => {
  const { run, phase, modelId, startingAt, finishedAt, privacy } = summary;
  return {
    ...progressOf(summary),
    ...{ appVersion: run.appVersion, details: run.status.details, phase, modelId },
    ...{ startedAt: timeOf(startingAt), finishedAt: timeOf(finishedAt), owner: run.owner?.name ?? null },
    privacy: privacy
      ? {
          ...{ dataset: privacy.dataset, unit: privacy.unit, delta: privacy.delta },
          ...{ epsilon: plain(privacy.epsilon), epsilonBudget: plain(privacy.epsilonBudget) },
        }
      : null,
  } as schemas.RestRun;
};

const nodeOf = ({ record, state, lastSeenAt }: NodeView): schemas.RestNode => ({
  ...{ nodeId: record.nodeId.toString(), name: record.name, state, dialect: record.dialect },
  ...{ flwrVersion: record.flwrVersion, certificate: record.subject, masks: record.canMask },
  ...{ registeredAt: timeOf(record.registeredAt / 1000), lastSeenAt: timeOf(lastSeenAt / 1000) },
});

const balanceOf = ({ scope, reserved, committed, epsilon, epsilonBudget, ...balance }: Balance): schemas.RestBudget =>
  ({
    ...{ kind: scope.kind, name: scope.name, partition: balance.partition, delta: balance.delta, used: balance.used },
    ...{ epsilon: plain(epsilon), epsilonBudget: plain(epsilonBudget) },
    ...{ reserved: Number(reserved), committed: Number(committed) },
  }) as schemas.RestBudget;
