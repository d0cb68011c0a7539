// make fuzz: each door for FUZZ_SECONDS (60) or FUZZ_INPUTS, each in a process of its own, so that a crash or a hang is seen from outside.
//   node tests/fuzz/main.ts [TARGET…]     FUZZ_SECONDS=60 FUZZ_INPUTS=… FUZZ_SEED=1 FUZZ_QUESTIONS=20000
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { corpusOf, findsFolder, writeFind } from './corpus.ts';
import { type Effort, nameOf, type Outcome, tryDoor } from './engine.ts';
import { FlowerPeer } from './peer.ts';
import { targets } from './targets/index.ts';

/** A batch takes seconds at most; silence for so long is a hang. */
const SILENT_MS = 120_000;

type Said =
  | { beat: true }
  | { done: Omit<Outcome, 'codes' | 'finds'> & { codes: [string, number][]; finds: { what: string; file: string }[] } };

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

const effort: Effort = {
  seed: number('FUZZ_SEED', 1),
  inputs: number('FUZZ_INPUTS', Number.MAX_SAFE_INTEGER),
  seconds: process.env.FUZZ_INPUTS === undefined ? number('FUZZ_SECONDS', 60) : number('FUZZ_SECONDS', 86_400),
  questions: number('FUZZ_QUESTIONS', 20_000),
  guided: process.env.FUZZ_GUIDED !== '0',
};

if (process.send !== undefined) await tryOne(process.argv[2] ?? '');
else await tryAll(process.argv.slice(2));

async function tryAll(wanted: readonly string[]): Promise<void> {
  const unknown = wanted.filter((name) => !targets.some((target) => target.name === name));
  if (unknown.length > 0) {
    console.error(`no such target: ${unknown.join(', ')}. There are: ${targets.map(({ name }) => name).join(', ')}`);
    process.exit(2);
  }
  const chosen = targets.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  let bad = 0;
  let total = 0;
  console.log(`seed ${effort.seed}, Node ${process.version}, ${process.platform} ${process.arch}`);
  console.log(
    '| target | inputs | taken | ways | asked | slowest | memory | finds |\n|---|---|---|---|---|---|---|---|',
  );
  for (const { name } of chosen) {
    const told = await inProcess(name);
    if (typeof told === 'string') {
      bad += 1;
      console.log(`| ${name} | ${told} |`);
      continue;
    }
    const { inputs, taken, ways, asked, slowestMs, grownMib, finds } = told;
    total += inputs;
    bad += finds.length;
    console.log(
      `| ${name} | ${inputs} | ${taken} | ${ways} | ${asked} | ${slowestMs.toFixed(0)} ms | +${grownMib.toFixed(0)} MiB | ${finds.length} |`,
    );
    for (const { what, file } of finds) console.log(`  ${file}\n    ${what}`);
  }
  console.log(`fuzz: targets=${chosen.length} inputs=${total} finds=${bad}`);
  process.exit(bad === 0 ? 0 : 1);
}

/** What the process of one target told at its end; words when it crashed or hung. */
function inProcess(name: string): Promise<Extract<Said, { done: unknown }>['done'] | string> {
  return new Promise((resolve) => {
    const child: ChildProcess = fork(join(import.meta.dirname, 'main.ts'), [name], {
      execArgv: ['--max-old-space-size=256'],
    });
    let result: Extract<Said, { done: unknown }>['done'] | undefined;
    let hung = false;
    let watch: NodeJS.Timeout;
    const alive = (): void => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        hung = true;
        child.kill('SIGKILL');
      }, SILENT_MS);
    };
    alive();
    child.on('message', (said: Said) => {
      alive();
      if ('done' in said) result = said.done;
    });
    child.once('exit', (code, signal) => {
      clearTimeout(watch);
      if (result !== undefined) return resolve(result);
      const where = `its inputs are in ${batchFile(name)}`;
      resolve(
        hung
          ? `HUNG: a batch was silent for ${SILENT_MS / 1_000} s; ${where}`
          : `CRASHED with ${signal ?? code}; ${where}`,
      );
    });
  });
}

function batchFile(name: string): string {
  return join(findsFolder, `${name}.batch.json`);
}

async function tryOne(name: string): Promise<void> {
  const target = targets.find((one) => one.name === name);
  if (target === undefined) throw new Error(`no such target: ${name}`);
  mkdirSync(findsFolder, { recursive: true });
  const peer = effort.questions > 0 ? FlowerPeer.start() : null;
  const corpus = corpusOf(name).map(({ bytes }) => bytes);
  const beforeBatch = (inputs: readonly Buffer[]): void => {
    writeFileSync(batchFile(name), JSON.stringify(inputs.map((input) => input.toString('base64'))));
    process.send?.({ beat: true } satisfies Said);
  };
  const { codes, finds, ...rest } = await tryDoor(target, corpus, effort, { peer, beforeBatch });
  peer?.close();
  const done = {
    ...rest,
    codes: [...codes],
    finds: finds.map((find) => ({ what: find.what, file: writeFind(name, nameOf(find), find.input) })),
  };
  process.send?.({ done } satisfies Said, () => process.exit(0));
}
