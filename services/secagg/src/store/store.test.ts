import { withNats } from '@aegis/testkit';
import { roundStoreSuite } from './conformance.ts';
import { DurableRoundStore } from './durable.ts';
import { MemoryRoundStore } from './memory.ts';

const nats = withNats();

roundStoreSuite('memory', async () => {
  const store = new MemoryRoundStore();
  return { subject: { store, other: store } };
});

roundStoreSuite('durable', async () => {
  const open = async () => DurableRoundStore.open(await nats().connect());
  const [store, other] = await Promise.all([open(), open()]);
  return { subject: { store, other } };
});
