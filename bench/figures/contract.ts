import type { Log } from '../report/log.ts';

/** cost: less is better (ratio = peer ÷ Aegis); rate: more is better (ratio = Aegis ÷ peer). */
export type Sense = 'cost' | 'rate';

/** What must be reached. */
export interface Must {
  /** As the table says it. */
  text: string;
  /** The worst value of Aegis that is good enough, in the figure's unit. null: nothing is demanded, or not without a peer's value. */
  limit(peer: number | null): number | null;
}

export interface FigureSpec {
  id: string;
  unit: string;
  sense: Sense;
  must: Must;
  aim: string;
  /** One line for a reader who sees the id for the first time. */
  meaning: string;
  /** Why Aegis falls short; shown only where it does. */
  shortfall: string;
}

/** A line of a plot: what was measured at other sizes of the same work, or at moments of it. */
export type Point = [x: number, y: number];

/** One value of one side, and what a reader must know about how it came about. */
export interface Reading {
  value: number;
  note: string;
  /** By name of the line. */
  points?: Record<string, Point[]>;
}

export interface Comparison {
  id: string;
  aegis: Reading | null;
  peer: Reading | null;
}

export type Side = 'aegis' | 'peer';

export interface BenchContext {
  sides: Side[];
  /** How many processes the crash figure kills, and the seed of when and which. */
  kills: number;
  seed: number;
  log: Log;
}

/** One piece of work on both sides; it may yield several figures. */
export interface Benchmark {
  figures: FigureSpec[];
  /** long: only with --long or by name; named: only by name. */
  when: 'always' | 'long' | 'named';
  measure(context: BenchContext): Promise<Comparison[]>;
}

/** The same limit whatever the peer does. */
export const fixed =
  (value: number): Must['limit'] =>
  () =>
    value;
