import type { Log } from '../report/log.ts';

/** cost: less is better (ratio = peer ÷ Aegis); rate: more is better (ratio = Aegis ÷ peer). */
export type Sense = 'cost' | 'rate';

export interface FigureSpec {
  id: string;
  unit: string;
  sense: Sense;
  /** What must be reached, as the table says it. */
  must: string;
  aim: string;
  /** One line for a reader who sees the id for the first time. */
  meaning: string;
}

/** One value of one side, and what a reader must know about how it came about. */
export interface Reading {
  value: number;
  note: string;
}

export interface Comparison {
  id: string;
  aegis: Reading | null;
  peer: Reading | null;
}

export type Side = 'aegis' | 'peer';

export interface BenchContext {
  sides: Side[];
  log: Log;
}

/** One piece of work on both sides; it may yield several figures. */
export interface Benchmark {
  figures: FigureSpec[];
  /** Only with --long or by name. */
  long: boolean;
  measure(context: BenchContext): Promise<Comparison[]>;
}
