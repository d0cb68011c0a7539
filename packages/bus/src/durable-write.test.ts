import { silentLogger } from '@aegis/service-kit';
import { withNats } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { durableWrite, isWrongRevision } from './durable-write.ts';
import { type Link, openLink } from './link.ts';

describe('durable write whose first answer was lost', () => {
  const nats = withNats();
  const link = async (): Promise<Link> => {
    const { server } = nats();
    const user = server.credentials.user;
    const pass = server.credentials.password.reveal();
    return openLink({
      connection: { servers: server.url, user, pass },
      outageWaitMs: 1_000,
      patient: false,
      log: silentLogger,
    });
  };
  // As after an outage: the attempt arrived, its answer did not, `meanwhile` happened.
  const repeating = (link: Link, meanwhile = async (): Promise<unknown> => undefined): Link => ({
    ...link,
    call: (what, attempt) =>
      link.call(what, async (timeout) => {
        await attempt(timeout);
        await meanwhile();
        return attempt(timeout);
      }),
  });
  const write = { stream: 'KV_runs', payload: Buffer.from('mine') };

  it('gets the revision of the write that had arrived', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    const expected = await runs.create('cas', Buffer.from('0'));
    const open = await link();
    const revision = await durableWrite(repeating(open), 'test', { ...write, subject: '$KV.runs.cas', expected });
    expect(await runs.get('cas')).toEqual({ value: Buffer.from('mine'), revision });
    await open.close();
  });

  it('does not happen twice', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    const open = await link();
    const revision = await durableWrite(repeating(open), 'test', { ...write, subject: '$KV.runs.put' });
    expect(await runs.get('put')).toEqual({ value: Buffer.from('mine'), revision });
    await open.close();
  });

  it('conflicts when somebody else has written since', async () => {
    const runs = await (await nats().connect()).bucket('runs');
    const expected = await runs.create('lost', Buffer.from('0'));
    const open = await link();
    const meanwhile = () => runs.put('lost', Buffer.from('theirs'));
    const lost = durableWrite(repeating(open, meanwhile), 'test', { ...write, subject: '$KV.runs.lost', expected });
    await expect(lost).rejects.toSatisfy(isWrongRevision);
    await open.close();
  });
});
