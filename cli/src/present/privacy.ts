import type { PrivacyCost } from '@aegis/core-native';

const digits = (value: number): string => String(Number(value.toPrecision(6)));

/** Six digits, away from the middle of the bracket: a table never promises more than the number behind it. */
function shown(value: number, round: (value: number) => number): string {
  if (value === 0) return '0';
  const unit = 10 ** (Math.floor(Math.log10(value)) - 5);
  return digits(round(value / unit) * unit);
}

export const costRows = (cost: PrivacyCost): string[][] => [
  ['epsilon', shown(cost.epsilon, Math.ceil)],
  ['delta', String(cost.delta)],
  ['at least', cost.lower === 0 ? 'nothing shown' : shown(cost.lower, Math.floor)],
  ['method', cost.order === undefined ? cost.method : `${cost.method}, order ${digits(cost.order)}`],
];
