// A process of simulated SuperNodes; the bench starts it and speaks to it over IPC (protocol.ts).
import { setTimeout as sleep } from 'node:timers/promises';
import { GrpcTransport } from './grpc-transport.ts';
import { HttpTransport } from './http-transport.ts';
import { Ledger } from './ledger.ts';
import { Opener } from './opener.ts';
import type { CallsReport, FleetOptions, FromNodes, IdleReport, ToNodes } from './protocol.ts';
import { inParallel } from './retry.ts';
import { Signer } from './signer.ts';
import { SuperNode } from './super-node.ts';
import { Workshop } from './workshop.ts';

const tell = (message: FromNodes): void => {
  process.send?.(message);
};

const ledger = new Ledger((round) => tell({ kind: 'first-task', round }));
let nodes: SuperNode[] = [];
let opener: Opener | null = null;
let stopping = false;

async function start(options: FleetOptions): Promise<void> {
  const workshop = new Workshop(ledger);
  opener = new Opener(options.ca);
  const http = opener;
  await inParallel(Array.from({ length: options.nodes }).keys(), options.connectConcurrency, async (index) => {
    const signer = await Signer.create();
    const { host, port } = options;
    const place = { host, port, localAddress: `127.0.0.${1 + (index % options.addresses)}` };
    const transport =
      options.dialect === 'http'
        ? new HttpTransport(place, http, signer)
        : new GrpcTransport(place, options.ca, signer);
    const node = new SuperNode(transport, signer, options, workshop, ledger);
    await node.connect();
    nodes.push(node);
    if (options.idle) void wait(node);
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

/** For a task that never comes. */
async function wait(node: SuperNode): Promise<void> {
  try {
    await node.work(Number.POSITIVE_INFINITY);
  } catch (error) {
    if (!stopping) ledger.gaveUp(error as Error);
  }
}

/** Counts what idle nodes do. */
async function idle(settleSeconds: number, seconds: number): Promise<void> {
  await sleep(settleSeconds * 1_000);
  const count = () => ({
    at: performance.now(),
    pulls: ledger.answers('PullMessages'),
    heartbeats: ledger.answers('SendNodeHeartbeat'),
    handshakes: opener?.opened ?? 0,
    retries: ledger.retries,
  });
  const begin = count();
  tell({ kind: 'idle-begin' });
  await sleep(seconds * 1_000);
  const end = count();
  const heartbeats = end.heartbeats.count - begin.heartbeats.count;
  const report: IdleReport = {
    seconds: (end.at - begin.at) / 1_000,
    pulls: end.pulls.count - begin.pulls.count,
    heartbeats,
    heartbeatMs: (end.heartbeats.totalMs - begin.heartbeats.totalMs) / heartbeats,
    handshakes: end.handshakes - begin.handshakes,
    retries: end.retries - begin.retries,
    lost: ledger.nodesLost,
  };
  tell({ kind: 'idle-end', report });
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

/** One in ten of the paced calls of each node comes over a connection of its own, as heartbeats of stock nodes do. */
const FRESH_EVERY = 10;
/** What a stock node waits for the answer to a heartbeat. */
const HEARTBEAT_PATIENCE_MS = 5_000;

/** Heartbeats at a steady pace, each node in turn; none waits for the one before. */
async function paced(perSecond: number, seconds: number): Promise<void> {
  const times: number[] = [];
  const report = { due: 0, answered: 0, failed: 0, late: 0 };
  const reasons: Record<string, number> = {};
  const beat = async (node: SuperNode): Promise<void> => {
    const begin = performance.now();
    try {
      await node.heartbeat();
      const ms = performance.now() - begin;
      times.push(ms);
      if (ms <= HEARTBEAT_PATIENCE_MS) report.answered += 1;
      else report.late += 1;
    } catch (error) {
      report.failed += 1;
      const reason = (error as Error).message.slice(0, 60);
      reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
  };
  const begin = performance.now();
  const under: Promise<void>[] = [];
  for (let elapsed = 0; elapsed < seconds; elapsed = (performance.now() - begin) / 1_000) {
    for (; report.due < elapsed * perSecond; report.due += 1) {
      const node = nodes[report.due % nodes.length] as SuperNode;
      if (Math.floor(report.due / nodes.length) % FRESH_EVERY === 0) node.forgetIdle();
      under.push(beat(node));
    }
    await sleep(5);
  }
  await Promise.race([Promise.all(under), sleep(2 * HEARTBEAT_PATIENCE_MS)]);
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(part * times.length))] ?? 0;
  tell({ kind: 'paced-end', report: { ...report, reasons, seconds, medianMs: at(0.5), longMs: at(0.99) } });
}

async function stop(): Promise<void> {
  stopping = true;
  const leaving = nodes;
  nodes = [];
  await Promise.race([inParallel(leaving, 32, (node) => node.leave()), sleep(10_000)]);
  process.exit(0);
}

function obey(message: ToNodes): Promise<void> {
  switch (message.kind) {
    case 'start':
      return start(message.options);
    case 'calls':
      return calls(message.warmupSeconds, message.seconds);
    case 'paced':
      return paced(message.perSecond, message.seconds);
    case 'idle':
      return idle(message.settleSeconds, message.seconds);
    case 'stop':
      return stop();
  }
}

process.on('message', (message: ToNodes) => {
  obey(message).catch((error: Error) => {
    if (nodes.length > 0 || message.kind === 'start') tell({ kind: 'failed', reason: error.stack ?? error.message });
  });
});
process.on('disconnect', () => process.exit(0));
