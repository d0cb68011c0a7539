import { InvalidArgumentError } from 'commander';

// Arguments as commander reads them: a wrong one is a usage error before anything happens.

/** A 64-bit id in decimal, as every table prints it. */
export function parseId(text: string): bigint {
  if (!/^\d{1,20}$/.test(text)) throw new InvalidArgumentError('It is not a decimal id; see the `ls` commands.');
  const id = BigInt(text);
  if (id === 0n || id >= 2n ** 64n) throw new InvalidArgumentError('It is not a 64-bit id.');
  return id;
}

export const parseWhole =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };

export const parsePort = parseWhole(0, 65535);

/** `30m`, `24h` or `7d`, in seconds. */
export function parseDuration(text: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,4})([mhd])$/.exec(text) ?? [];
  const seconds = { m: 60, h: 3_600, d: 86_400 }[unit];
  if (seconds === undefined) throw new InvalidArgumentError('It must be a time such as 30m, 24h or 7d.');
  return Number(count) * seconds;
}

/** The same in hours. */
export const parseHours = (text: string): number => parseDuration(text) / 3_600;

/** A SHA-256 in hexadecimal. */
export function parseHash(text: string): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new InvalidArgumentError('It must be 64 hexadecimal characters.');
  return text;
}

/** A number above 0, as an epsilon or a delta is. */
export function parsePositive(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/** For options that may be given several times. */
export const collect = (text: string, before: string[] = []): string[] => [...before, text];
