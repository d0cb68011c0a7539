import type { Operation } from './operations.ts';
import type { World } from './world.ts';

/** Does it, or begins it: nothing here waits for what an operation leads to. */
export async function apply(world: World, operation: Operation): Promise<void> {
  const node = 'node' in operation ? world.nodes[operation.node] : undefined;
  const process = 'process' in operation ? world.process(operation.process) : undefined;
  switch (operation.do) {
    case 'start-run':
      void world.startRun();
      // unpacking an app takes turns of the event loop that leave no trace on bus or disk
      for (let i = 0; i < 60; i += 1) await new Promise((resolve) => setImmediate(resolve));
      break;
    case 'stop-run':
      void world.stopRun();
      break;
    case 'join':
      void node?.join();
      break;
    case 'pull':
      void node?.pull();
      break;
    case 'push':
      void node?.answer('honest', 'one-step');
      break;
    case 'push-all-at-once':
      void node?.answer('honest', 'all-at-once');
      break;
    case 'answer':
      void node?.answer(operation.manner, 'in-order');
      break;
    case 'duplicate':
      void node?.repeat(false);
      break;
    case 'answer-again':
      void node?.repeat(true);
      break;
    case 'intrude': {
      const other = world.nodes[operation.on];
      if (other !== undefined) void node?.intrude(other);
      break;
    }
    case 'leave':
      void node?.leave(operation.unregister);
      break;
    case 'power-off':
      node?.powerOff(operation.heard);
      break;
    case 'switch-gateway':
      if (node !== undefined) node.link.gatewayIndex += 1;
      break;
    case 'cut':
    case 'heal':
      if (node !== undefined) node.link.isCut = operation.do === 'cut';
      break;
    case 'lose':
      if (node !== undefined) node.link.loses = operation.what;
      break;
    case 'kill':
      process?.life.kill();
      break;
    case 'start':
      world.start(operation.process);
      break;
    case 'drain':
      void process?.drain();
      break;
    case 'pause':
      process?.life.pause();
      break;
    case 'resume':
      process?.life.resume();
      break;
    case 'crash-at-write':
      process?.life.crashAtWrite(operation.n, operation.after);
      break;
    case 'step-clock':
      if (process !== undefined) process.life.wallAhead += operation.ms;
      break;
    case 'bus':
      world.nats.setUp(operation.is === 'up');
      break;
    case 'bus-in-doubt':
      world.nats.inDoubt = operation.next;
      break;
    case 'bus-refuses':
      world.nats.refusing = operation.next;
      break;
    case 'events-lost':
      world.nats.dropping = operation.next;
      break;
    case 'slow-bus':
      world.nats.slowMs = operation.ms;
      break;
    case 'slow-disk':
      world.disk.slowMs = operation.ms;
      break;
    case 'disk':
      world.disk.isFull = operation.is === 'full';
      break;
    case 'advance':
      await world.advance(operation.ms);
  }
}
