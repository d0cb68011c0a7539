import { withNats } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import type { Task } from '../contract.ts';
import { natsMailbox } from './mailbox.ts';

const task = (taskId: string, runId = 7n): Task => ({
  taskId,
  nodeId: 1n,
  runId,
  round: 1,
  kind: 'train',
  modelId: null,
  config: [],
  layout: { dialect: 'message', arrayRecordKey: 'a', configRecordKey: 'c', weightedByKey: 'n' },
  createdAt: 0,
  ttlSeconds: 60,
  groupId: '',
  traceparent: '',
  deadline: 0,
  join: false,
});

describe('the mailbox on NATS', () => {
  const nats = withNats();
  const idsOf = async (mailbox: Awaited<ReturnType<typeof natsMailbox>>) =>
    (await mailbox.ofRun(7n)).map(({ taskId }) => taskId).sort();

  it('keeps what was put, once, until it is withdrawn', async () => {
    const mailbox = await natsMailbox(await nats().connect(), 4);
    await mailbox.put([task('01'), task('02'), task('03', 8n)]);
    await mailbox.put([task('02'), task('04')]);
    expect(await idsOf(mailbox)).toEqual(['01', '02', '04']);
    await mailbox.withdraw([task('01'), task('04')]);
    expect(await idsOf(mailbox)).toEqual(['02']);
  });

  it('takes no task back that was withdrawn, not even one that it never had', async () => {
    const [late, next] = [await natsMailbox(await nats().connect(), 4), await natsMailbox(await nats().connect(), 4)];
    await next.put([task('11')]);
    await next.withdraw([task('11'), task('12')]);
    await late.put([task('11'), task('12'), task('13')]);
    expect((await idsOf(next)).filter((id) => id > '10')).toEqual(['13']);
  });
});
