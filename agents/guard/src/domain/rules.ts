/** Numbers under this name may leave within these bounds: metrics, or the values of a tensor. */
export interface RangeRule {
  /** With `*` for any characters. */
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

/** Whether any number is within its bounds, so that none need be looked at. */
export const isBoundless = ({ min, max }: RangeRule): boolean => min === -Number.MAX_VALUE && max === Number.MAX_VALUE;

/** Why something may not happen or leave. */
export interface Refusal {
  readonly allowed: false;
  /** The key of the policy that says so. */
  readonly rule: string;
  /** For the operator and the owner; names nothing of the data. */
  readonly reason: string;
}

export type Decision = { readonly allowed: true } | Refusal;

export const refuse = (rule: string, reason: string): Refusal => ({ allowed: false, rule, reason });

/** What the operator reads of a refusal. */
export const refusalText = ({ rule, reason }: Refusal): string =>
  `The data owner's guard refuses: ${reason} (policy: ${rule}).`;

/** A name chosen by the app: short, and plain text. */
export const shown = (name: string): string => name.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 80);

/** `*` stands for any characters; everything else for itself. */
export const matches = (pattern: string, text: string): boolean => {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === text;
  if (!text.startsWith(first)) return false;
  const last = rest.pop() ?? '';
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
};
