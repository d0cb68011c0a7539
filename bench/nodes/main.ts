// A process of simulated SuperNodes; the bench starts it and speaks to it over IPC (protocol.ts).
import { setTimeout as sleep } from 'node:timers/promises';
import { GrpcTransport } from './grpc-transport.ts';
import { HttpTransport, httpSecureContext } from './http-transport.ts';
import { Ledger } from './ledger.ts';
import type { CallsReport, FleetOptions, FromNodes, ToNodes } from './protocol.ts';
import { inParallel } from './retry.ts';
import { Signer } from './signer.ts';
import { SuperNode } from './super-node.ts';
import { Workshop } from './workshop.ts';

const tell = (message: FromNodes): void => {
  process.send?.(message);
};

const ledger = new Ledger((round) => tell({ kind: 'first-task', round }));
let nodes: SuperNode[] = [];

async function start(options: FleetOptions): Promise<void> {
  const workshop = new Workshop(ledger);
  const secure = httpSecureContext(options.ca);
  await inParallel(Array.from({ length: options.nodes }), options.connectConcurrency, async () => {
    const signer = await Signer.create(options.signaturesAhead);
    const transport =
      options.dialect === 'http'
        ? new HttpTransport(options.host, options.port, secure, signer)
        : new GrpcTransport(options.host, options.port, options.ca, signer);
    const node = new SuperNode(transport, signer, options, workshop, ledger);
    await node.connect();
    nodes.push(node);
  });
  tell({ kind: 'connected' });
  if (options.rounds === 0) return;
  await Promise.all(
    nodes.map(async (node) => {
      await node.work(options.rounds);
      ledger.nodesFinished += 1;
    }),
  );
  tell({ kind: 'finished', report: ledger.report() });
}

/** Every node sends heartbeats as fast as they are answered. */
async function calls(warmupSeconds: number, seconds: number): Promise<void> {
  const report: CallsReport = { calls: 0, seconds, failed: 0 };
  let running = true;
  const lanes = nodes.map(async (node) => {
    while (running) {
      try {
        await node.heartbeat();
        report.calls += 1;
      } catch {
        report.failed += 1;
        await sleep(100);
      }
    }
  });
  await sleep(warmupSeconds * 1_000);
  const begin = { ...report, at: performance.now() };
  tell({ kind: 'calls-begin' });
  await sleep(seconds * 1_000);
  const end = { ...report, at: performance.now() };
  tell({
    kind: 'calls-end',
    report: {
      calls: end.calls - begin.calls,
      failed: end.failed - begin.failed,
      seconds: (end.at - begin.at) / 1_000,
    },
  });
  running = false;
  await Promise.all(lanes);
}

async function stop(): Promise<void> {
  const leaving = nodes;
  nodes = [];
  await Promise.race([inParallel(leaving, 32, (node) => node.leave()), sleep(10_000)]);
  process.exit(0);
}

process.on('message', (message: ToNodes) => {
  const work =
    message.kind === 'start'
      ? start(message.options)
      : message.kind === 'calls'
        ? calls(message.warmupSeconds, message.seconds)
        : stop();
  work.catch((error: Error) => {
    if (nodes.length > 0 || message.kind === 'start') tell({ kind: 'failed', reason: error.stack ?? error.message });
  });
});
process.on('disconnect', () => process.exit(0));
