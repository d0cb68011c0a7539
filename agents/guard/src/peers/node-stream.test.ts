import { EventEmitter } from 'node:events';
import { ServerFrame } from '@aegis/contracts/aegis/node/v1/node';
import { FakeClock } from '@aegis/testkit';
import type { Client } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { NodeStream } from './node-stream.ts';

it('a part that is refused while it still waits for room fails where it was sent, and ends no process', async () => {
  const call = Object.assign(new EventEmitter(), { write: () => false, cancel: () => {} });
  const client = { makeBidiStreamRequest: () => call } as unknown as Client;
  const unheard: unknown[] = [];
  const listener = (error: unknown) => unheard.push(error);
  process.on('unhandledRejection', listener);
  const stream = new NodeStream(client, new FakeClock(0), () => {});
  const sent = stream.ask({ $case: 'part', value: { taskId: '01', partId: 'ab' } }, 'part ab', Buffer.alloc(8));
  const value = { taskId: '01', requestId: 0n, partId: 'ab', code: 'PART_HASH', detail: '', again: false };
  const refusal = ServerFrame.encode({ frame: { $case: 'refusal', value }, content: Buffer.alloc(0) });
  call.emit('data', Buffer.from(refusal.finish()));
  await new Promise((resolve) => setTimeout(resolve, 10));
  call.emit('drain');
  await expect(sent).rejects.toThrow(expect.objectContaining({ code: 'PART_HASH' }));
  process.off('unhandledRejection', listener);
  expect(unheard).toEqual([]);
});
