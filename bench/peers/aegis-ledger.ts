// The privacy ledger as `aegis up` runs it: nats-server beside it with every write synced, the accountant in this process. Arguments: FOLDER OUT.
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectBus, natsServerBinary, startNatsServer } from '@aegis/bus';
import { LedgerOperatorService, LedgerService, ScopeKind } from '@aegis/contracts/aegis/privacy/v1/privacy';
import { accountantConfig, startAccountant } from '@aegis/privacy-accountant';
import { createTelemetry, inProcessChannel, silentLogger } from '@aegis/service-kit';

const CLIENTS = 4;
const UNITS = 100;
/** The units of a pair are drawn from so many, so that their pasts differ. */
const POPULATION = 400;
const WARM_UP_MS = 2_000;
const MEASURED_MS = 10_000;

const [folder = '.', out = 'ledger.json'] = process.argv.slice(2);
const storeDir = join(folder, 'nats');
await mkdir(storeDir, { recursive: true });
const nats = await startNatsServer({
  binary: natsServerBinary(),
  ...{ storeDir, port: 0, logFile: join(folder, 'nats.log') },
});
const bus = await connectBus({ servers: nats.url, credentials: nats.credentials, name: 'bench' });
const telemetry = createTelemetry({ service: 'bench', version: '0', env: {} });
const state = accountantConfig.parse({ 'state-dir': join(folder, 'accountant') });
const accountant = await startAccountant(state, { bus, telemetry, log: silentLogger });
const channel = inProcessChannel(accountant.services, { log: silentLogger, telemetry });
const ledger = channel.client(LedgerService);
const operator = channel.client(LedgerOperatorService);

// Large enough that nothing is refused: what is measured is paying, not running out.
for (const kind of [ScopeKind.RUN, ScopeKind.DATASET, ScopeKind.UNIT])
  await operator.setBudget({ scope: { kind, name: '' }, epsilon: 1000, delta: 1e-5, addPartitions: [] });

const pseudonyms = Array.from({ length: POPULATION }, (_, at) => `00000000-${at.toString(16).padStart(32, '0')}`);
const event = JSON.stringify({ mechanism: 'gaussian', 'noise-multiplier': 1000, relation: 'add-or-remove-one' });
const policyOf = (client: number) => ({
  ...{ runId: BigInt(client + 1), dataset: 'bench', partition: '', unit: 'node', epsilon: 0, delta: 0, schedule: [] },
});

/** A hundred of them, from somewhere on. */
const cohort = (): string[] => {
  const from = Math.floor(Math.random() * POPULATION);
  return Array.from({ length: UNITS }, (_, at) => pseudonyms[(from + 3 * at) % POPULATION] as string);
};

let pairs = 0;
let stop = false;
const latencies: number[] = [];
async function client(number: number): Promise<void> {
  for (let round = 1; !stop; round += 1) {
    const begun = performance.now();
    const key = `${number + 1}/${round}/1/update`;
    const { outcome } = await ledger.reserve({ key, policy: policyOf(number), units: cohort(), events: [event] });
    if (outcome?.$case !== 'granted') throw new Error(`refused: ${outcome?.value.detail}`);
    const { reservationId } = outcome.value;
    const committed = await ledger.commit({ reservationId, events: [], resultDigest: key, inTheClear: [] });
    if (committed.outcome?.$case !== 'committed') throw new Error('a commit was refused');
    pairs += 1;
    latencies.push(performance.now() - begun);
  }
}

const clients = Array.from({ length: CLIENTS }, (_, number) => client(number));
await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
const before = { pairs, at: performance.now(), cpu: process.cpuUsage() };
latencies.length = 0;
await new Promise((resolve) => setTimeout(resolve, MEASURED_MS));
const seconds = (performance.now() - before.at) / 1000;
const counted = pairs - before.pairs;
const cpu = process.cpuUsage(before.cpu);
stop = true;
await Promise.all(clients);
const verdict = await operator.verify({}, { timeoutMs: 600_000 });
if (!verdict.sound) throw new Error(`the ledger is not sound: ${verdict.findings.join(' ')}`);

await channel.close();
await accountant.close();
await bus.close();
await nats.stop();

/** The disk alone: what a page and its anchor cost without a ledger. */
async function floorMs(): Promise<{ append: number; inPlace: number }> {
  const file = await open(join(folder, 'floor'), 'w');
  const piece = Buffer.alloc(2_048, 1);
  const timed = async (write: () => Promise<unknown>): Promise<number> => {
    const begun = performance.now();
    for (let time = 0; time < 500; time += 1) await write();
    return (performance.now() - begun) / 500;
  };
  try {
    const append = await timed(() => file.write(piece).then(() => file.sync()));
    return { append, inPlace: await timed(() => file.write(piece, 0, 512, 0).then(() => file.datasync())) };
  } finally {
    await file.close();
  }
}

latencies.sort((a, b) => a - b);
const at = (share: number): number => latencies[Math.floor(share * (latencies.length - 1))] ?? 0;
await writeFile(
  out,
  JSON.stringify({
    pairsPerSecond: counted / seconds,
    medianMs: at(0.5),
    p99Ms: at(0.99),
    cpuMsPerPair: (cpu.user + cpu.system) / 1000 / counted,
    entries: Number(verdict.entries),
    floor: await floorMs(),
  }),
);
process.exit(0);
