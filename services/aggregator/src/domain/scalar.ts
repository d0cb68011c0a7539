/** A typed configuration or metric value. Integers and reals stay apart: Flower apps check types strictly. */
export type Scalar =
  | { readonly kind: 'real'; readonly value: number }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'flag'; readonly value: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'data'; readonly value: Uint8Array }
  | { readonly kind: 'reals'; readonly value: readonly number[] }
  | { readonly kind: 'integers'; readonly value: readonly bigint[] }
  | { readonly kind: 'flags'; readonly value: readonly boolean[] }
  | { readonly kind: 'texts'; readonly value: readonly string[] }
  | { readonly kind: 'datas'; readonly value: readonly Uint8Array[] };

export type ScalarKind = Scalar['kind'];

export interface ConfigEntry {
  readonly key: string;
  readonly value: Scalar;
}

export type FlatConfig = ReadonlyMap<string, Scalar>;

export const real = (value: number): Scalar => ({ kind: 'real', value });
export const integer = (value: number | bigint): Scalar => ({ kind: 'integer', value: BigInt(value) });
export const flag = (value: boolean): Scalar => ({ kind: 'flag', value });
export const text = (value: string): Scalar => ({ kind: 'text', value });

/** For messages to people. Bytes are never shown. */
export function showScalar(scalar: Scalar): string {
  switch (scalar.kind) {
    case 'text':
      return JSON.stringify(scalar.value);
    case 'data':
      return `<${scalar.value.length} bytes>`;
    case 'datas':
      return `<${scalar.value.length} byte strings>`;
    case 'real':
      return Number.isInteger(scalar.value) ? scalar.value.toFixed(1) : String(scalar.value);
    case 'integer':
    case 'flag':
      return String(scalar.value);
    default:
      return `[${scalar.value.map(String).join(', ')}]`;
  }
}

export function sameScalar(a: Scalar, b: Scalar): boolean {
  return a.kind === b.kind && showExactly(a) === showExactly(b);
}

/** The value in another kind, when nothing is lost by it; null otherwise. */
export function convertScalar(scalar: Scalar, kind: ScalarKind): Scalar | null {
  if (scalar.kind === kind) return scalar;
  if (kind === 'real' && scalar.kind === 'integer') return real(Number(scalar.value));
  if (kind === 'integer' && scalar.kind === 'real' && Number.isInteger(scalar.value)) return integer(scalar.value);
  return null;
}

/** Entries of `base` in order, values replaced or new keys appended by `extra`. */
export function mergeEntries(base: readonly ConfigEntry[], extra: readonly ConfigEntry[]): ConfigEntry[] {
  const merged = new Map(base.map((entry) => [entry.key, entry.value]));
  for (const entry of extra) merged.set(entry.key, entry.value);
  return [...merged].map(([key, value]) => ({ key, value }));
}

const showExactly = (scalar: Scalar): string => {
  if (scalar.kind === 'data') return hex(scalar.value);
  if (scalar.kind === 'datas') return JSON.stringify(scalar.value.map(hex));
  if (scalar.kind === 'texts') return JSON.stringify(scalar.value);
  return String(scalar.value);
};

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
