import { silentLogger } from '@aegis/service-kit';
import { eventually, withNats } from '@aegis/testkit';
import { expect, it } from 'vitest';
import { natsConsents } from './consents.ts';

const nats = withNats();
const terms = { purpose: 'ecg', version: 'v1' };
const document = (given: boolean) =>
  Buffer.from(JSON.stringify({ consents: [{ to: 'purpose:ecg', version: 'v1', given, at: 1 }] }));

it('follows what the gateways keep, reads it again when asked, and takes what it cannot read for nothing', async () => {
  const [theirs, ours] = [await nats().connect(), await nats().connect()];
  const bucket = await theirs.bucket('consents');
  await bucket.put('1', document(true));
  await bucket.put('2', Buffer.from('no json'));
  await bucket.put('3', Buffer.from('{"consents":[{"to":"purpose:ecg","version":"v1"},{"given":true}]}'));
  const view = await natsConsents(ours, silentLogger);
  let changes = 0;
  view.onChange(() => {
    changes += 1;
  });
  try {
    await view.refresh();
    expect([...view.agreed(terms, 7n)]).toEqual([1n]);
    expect([...view.agreed({ ...terms, version: 'v2' }, 7n)]).toEqual([]);
    await bucket.put('1', document(false));
    await bucket.put('4', document(true));
    // everything that was durable before the call
    await view.refresh();
    expect([...view.agreed(terms, 7n)]).toEqual([4n]);
    const before = changes;
    await bucket.put('5', document(true));
    await eventually(() => expect([...view.agreed(terms, 7n)].sort()).toEqual([4n, 5n]));
    expect(changes).toBeGreaterThan(before);
    await bucket.delete('4');
    await view.refresh();
    expect([...view.agreed(terms, 7n)]).toEqual([5n]);
  } finally {
    view.close();
  }
});
