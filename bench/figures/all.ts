import { adverts } from './adverts.ts';
import type { Benchmark, FigureSpec } from './contract.ts';
import { cpuPerGb } from './cpu-per-gb.ts';
import { crash } from './crash.ts';
import { edge } from './edge.ts';
import { foldGbps } from './fold.ts';
import { hostile, securityOverhead } from './hostile.ts';
import { idle } from './idle-nodes.ts';
import { ledgerPairs } from './ledger.ts';
import { maskedMemory } from './masked-memory.ts';
import { memory } from './memory.ts';
import { privacyAccounting } from './privacy-accounting.ts';
import { privacyMechanisms } from './privacy-mechanisms.ts';
import { privacyTightness } from './privacy-tightness.ts';
import { roundDeadTime } from './round-dead-time.ts';
import { secagg, secaggCohort } from './secagg.ts';
import { rpcGrpc, rpcHttp } from './small-calls.ts';

/** In the order of the table. */
export const BENCHMARKS: Benchmark[] = [
  roundDeadTime,
  rpcHttp,
  rpcGrpc,
  cpuPerGb,
  idle,
  memory,
  foldGbps,
  crash,
  privacyMechanisms,
  privacyAccounting,
  privacyTightness,
  ledgerPairs,
  secagg,
  secaggCohort,
  maskedMemory,
  adverts,
  edge,
  hostile,
  securityOverhead,
];

export const SPECS: FigureSpec[] = BENCHMARKS.flatMap(({ figures }) => figures);
