import { readdirSync, readFileSync } from 'node:fs';
import type { ServerProcess } from '../peers/contract.ts';

// Costs of a server as the kernel counts them, over the whole tree of processes that belong to it.

const TICKS_PER_SECOND = 100;

interface Stat {
  pid: number;
  parent: number;
  name: string;
  ticks: number;
}

function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const close = text.lastIndexOf(')');
    const fields = text.slice(close + 2).split(' ');
    // utime, stime and those of children that were waited for: fields 14 to 17 of proc(5)
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return { pid, parent: Number(fields[1]), name: text.slice(text.indexOf('(') + 1, close), ticks };
  } catch {
    return null;
  }
}

function treeStats(root: number): Stat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statOf(Number(name)))
    .filter((stat) => stat !== null);
  const tree = all.filter(({ pid }) => pid === root);
  for (let at = 0; at < tree.length; at += 1) {
    tree.push(...all.filter(({ parent }) => parent === tree[at]?.pid));
  }
  return tree;
}

/** Every process of the trees: a root by the name it was given, a descendant by the name of its program. */
const namedStats = (roots: readonly ServerProcess[]): Stat[] =>
  roots.flatMap((root) =>
    treeStats(root.pid).map((stat) => (stat.pid === root.pid ? { ...stat, name: root.name } : stat)),
  );

export const treeOf = (root: number): number[] => treeStats(root).map(({ pid }) => pid);

export interface CpuSeconds {
  total: number;
  byProcess: Record<string, number>;
}

/** User and system CPU seconds of processes, their live descendants and those they waited for. */
export function cpuSecondsOf(roots: readonly ServerProcess[]): CpuSeconds {
  const cpu: CpuSeconds = { total: 0, byProcess: {} };
  for (const { name, ticks } of namedStats(roots)) {
    const seconds = ticks / TICKS_PER_SECOND;
    cpu.total += seconds;
    cpu.byProcess[name] = (cpu.byProcess[name] ?? 0) + seconds;
  }
  return cpu;
}

/** What was spent between two readings. */
export function cpuBetween(begin: CpuSeconds, end: CpuSeconds): CpuSeconds {
  const byProcess = Object.fromEntries(
    Object.entries(end.byProcess).map(([name, seconds]) => [name, seconds - (begin.byProcess[name] ?? 0)]),
  );
  return { total: end.total - begin.total, byProcess };
}

/** Resident bytes now, all together. */
export const residentBytes = (roots: readonly ServerProcess[]): number =>
  namedStats(roots).reduce((sum, { pid }) => sum + statusBytes(pid, 'VmRSS'), 0);

function statusBytes(pid: number, key: string): number {
  try {
    const match = readFileSync(`/proc/${pid}/status`, 'latin1').match(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm'));
    return Number(match?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
}

export interface PeakMemory {
  /** Highest sum of resident sizes over all processes seen at one moment. */
  bytes: number;
  /** Highest resident size of each process by name, as the kernel remembers it (VmHWM). */
  byProcess: Record<string, number>;
}

/** Samples the memory of the trees until stopped. */
export function watchMemory(roots: readonly ServerProcess[], everyMs = 100): { stop(): PeakMemory } {
  const peak: PeakMemory = { bytes: 0, byProcess: {} };
  const high = new Map<number, { name: string; bytes: number }>();
  const sample = () => {
    const stats = namedStats(roots);
    peak.bytes = Math.max(
      peak.bytes,
      stats.reduce((sum, { pid }) => sum + statusBytes(pid, 'VmRSS'), 0),
    );
    for (const { pid, name } of stats) {
      const bytes = statusBytes(pid, 'VmHWM');
      if (bytes > 0) high.set(pid, { name, bytes });
    }
  };
  const timer = setInterval(sample, everyMs);
  sample();
  return {
    stop() {
      clearInterval(timer);
      sample();
      for (const { name, bytes } of high.values()) {
        peak.byProcess[name] = Math.max(peak.byProcess[name] ?? 0, bytes);
      }
      return peak;
    },
  };
}
