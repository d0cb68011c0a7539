import type { Metric } from '@aegis/contracts/aegis/aggregator/v1/aggregator';
import type { Scalar } from '@aegis/contracts/aegis/events/v1/task';

export type Plain = number | string | boolean | Plain[];

/** A typed scalar as a JSON value; 64-bit integers as numbers where those are exact, else as text; bytes as base64. */
export function plainScalar(scalar: Scalar | undefined): Plain {
  const value = scalar?.value;
  switch (value?.$case) {
    case 'integer':
      return plainInteger(value.value);
    case 'data':
      return Buffer.from(value.value).toString('base64');
    case 'real':
      return value.value;
    case 'flag':
      return value.value;
    case 'text':
      return value.value;
    case 'reals':
      return value.value.values;
    case 'integers':
      return value.value.values.map(plainInteger);
    case 'flags':
      return value.value.values;
    case 'texts':
      return value.value.values;
    case 'datas':
      return value.value.values.map((data) => Buffer.from(data).toString('base64'));
    default:
      return '';
  }
}

const plainInteger = (value: bigint): number | string =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();

export const plainMetrics = (metrics: readonly Metric[]): Record<string, Plain> =>
  Object.fromEntries(metrics.map(({ key, value }) => [key, plainScalar(value)]));

/** Numbers for people: as many digits as say something. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return value.toString();
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(2) : value.toPrecision(size >= 1000 ? 6 : 4);
}

export function formatMetrics(metrics: Record<string, Plain>): string {
  return Object.entries(metrics)
    .map(([key, value]) => `${key} ${formatPlain(value)}`)
    .join(', ');
}

function formatPlain(value: Plain): string {
  if (typeof value === 'number') return formatNumber(value);
  if (!Array.isArray(value)) return String(value);
  const shown = value.slice(0, 4).map(formatPlain).join(' ');
  return `[${shown}${value.length > 4 ? ' …' : ''}]`;
}

export function formatBytes(bytes: number | bigint): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** Unix seconds as local date and time; nothing for 0 (not yet). */
export const formatTime = (unixSeconds: number): string =>
  unixSeconds === 0 ? '' : new Date(unixSeconds * 1000).toLocaleString('sv-SE');

/** Unix seconds as ISO text for programs; null for 0 (not yet). */
export const isoTime = (unixSeconds: number): string | null =>
  unixSeconds === 0 ? null : new Date(unixSeconds * 1000).toISOString();
