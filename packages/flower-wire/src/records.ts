// Flower's records against typed scalars of our own. Integers and reals stay apart: apps check the types strictly.

import {
  ConfigRecord,
  type ConfigRecordValue,
  MetricRecord,
  type MetricRecordValue,
} from '@aegis/contracts/flwr/proto/recorddict';
import type { Scalar as WireScalar } from '@aegis/contracts/flwr/proto/transport';
import { AegisError } from '@aegis/errors';
import { decodeWith } from './decode.ts';

/** `integer` covers sint64 and uint64, that is −2^63 … 2^64−1. An empty list has the kind `flags` or `reals`. */
export type Scalar =
  | { kind: 'real'; value: number }
  | { kind: 'integer'; value: bigint }
  | { kind: 'flag'; value: boolean }
  | { kind: 'text'; value: string }
  | { kind: 'data'; value: Buffer }
  | { kind: 'reals'; value: number[] }
  | { kind: 'integers'; value: bigint[] }
  | { kind: 'flags'; value: boolean[] }
  | { kind: 'texts'; value: string[] }
  | { kind: 'datas'; value: Buffer[] };

export interface ConfigEntry {
  key: string;
  value: Scalar;
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

const outOfRange = (key: string): AegisError =>
  new AegisError('REQUEST_MALFORMED', `The integer under "${key}" does not fit 64 bits.`);
const notAllowed = (key: string, kind: string): AegisError =>
  new AegisError('REQUEST_MALFORMED', `A MetricRecord cannot hold "${key}" of kind ${kind}.`);

/** Body of a ConfigRecord object, byte for byte as Flower writes it (entries in the given order). */
export function encodeConfigRecord(entries: readonly ConfigEntry[]): Buffer {
  const items = entries.map(({ key, value }) => ({ key, value: { value: configValue(key, value) } }));
  return Buffer.from(ConfigRecord.encode({ items }).finish());
}

export function encodeMetricRecord(entries: readonly ConfigEntry[]): Buffer {
  const items = entries.map(({ key, value }) => ({ key, value: { value: metricValue(key, value) } }));
  return Buffer.from(MetricRecord.encode({ items }).finish());
}

export function decodeConfigRecord(body: Uint8Array): ConfigEntry[] {
  return decodeWith(ConfigRecord, body, 'ConfigRecord').items.map(({ key, value }) => ({
    key,
    value: fromRecordValue(key, value?.value),
  }));
}

export function decodeMetricRecord(body: Uint8Array): ConfigEntry[] {
  return decodeWith(MetricRecord, body, 'MetricRecord').items.map(({ key, value }) => ({
    key,
    value: fromRecordValue(key, value?.value),
  }));
}

function metricValue(key: string, scalar: Scalar): NonNullable<MetricRecordValue['value']> {
  switch (scalar.kind) {
    case 'real':
      return { $case: 'double', value: scalar.value };
    case 'integer':
      return integerValue(key, scalar.value);
    case 'reals':
      return { $case: 'doubleList', value: { vals: scalar.value } };
    case 'integers':
      return integerList(key, scalar.value) ?? { $case: 'doubleList', value: { vals: [] } };
    default:
      if (Array.isArray(scalar.value) && scalar.value.length === 0) return { $case: 'doubleList', value: { vals: [] } };
      throw notAllowed(key, scalar.kind);
  }
}

function configValue(key: string, scalar: Scalar): NonNullable<ConfigRecordValue['value']> {
  // Flower writes an empty list as the first list type a ConfigRecord allows.
  if (Array.isArray(scalar.value) && scalar.value.length === 0) return { $case: 'boolList', value: { vals: [] } };
  switch (scalar.kind) {
    case 'real':
      return { $case: 'double', value: scalar.value };
    case 'integer':
      return integerValue(key, scalar.value);
    case 'flag':
      return { $case: 'bool', value: scalar.value };
    case 'text':
      return { $case: 'string', value: scalar.value };
    case 'data':
      return { $case: 'bytes', value: scalar.value };
    case 'reals':
      return { $case: 'doubleList', value: { vals: scalar.value } };
    case 'integers':
      return integerList(key, scalar.value) ?? { $case: 'boolList', value: { vals: [] } };
    case 'flags':
      return { $case: 'boolList', value: { vals: scalar.value } };
    case 'texts':
      return { $case: 'stringList', value: { vals: scalar.value } };
    case 'datas':
      return { $case: 'bytesList', value: { vals: scalar.value } };
  }
}

function integerValue(key: string, value: bigint) {
  if (value < INT64_MIN || value > UINT64_MAX) throw outOfRange(key);
  return value > INT64_MAX ? { $case: 'uint64' as const, value } : { $case: 'sint64' as const, value };
}

function integerList(key: string, vals: bigint[]) {
  if (vals.length === 0) return undefined;
  const unsigned = vals.some((value) => value > INT64_MAX);
  if (vals.some((value) => value < (unsigned ? 0n : INT64_MIN) || value > UINT64_MAX)) throw outOfRange(key);
  return unsigned ? { $case: 'uintList' as const, value: { vals } } : { $case: 'sintList' as const, value: { vals } };
}

function fromRecordValue(key: string, value: ConfigRecordValue['value'] | MetricRecordValue['value']): Scalar {
  switch (value?.$case) {
    case 'double':
      return { kind: 'real', value: value.value };
    case 'sint64':
    case 'uint64':
      return { kind: 'integer', value: value.value };
    case 'bool':
      return { kind: 'flag', value: value.value };
    case 'string':
      return { kind: 'text', value: value.value };
    case 'bytes':
      return { kind: 'data', value: value.value };
    case 'doubleList':
      return { kind: 'reals', value: value.value.vals };
    case 'sintList':
    case 'uintList':
      return { kind: 'integers', value: value.value.vals };
    case 'boolList':
      return { kind: 'flags', value: value.value.vals };
    case 'stringList':
      return { kind: 'texts', value: value.value.vals };
    case 'bytesList':
      return { kind: 'datas', value: value.value.vals };
    case undefined:
      throw new AegisError('OBJECT_MALFORMED', `The record holds no value under "${key}".`);
  }
}

/** A run override (`Scalar` of transport.proto) to our scalar; one without a value is refused. */
export function fromWireScalar(key: string, wire: WireScalar): ConfigEntry {
  const value = wire.scalar;
  switch (value?.$case) {
    case 'double':
      return { key, value: { kind: 'real', value: value.value } };
    case 'sint64':
    case 'uint64':
      return { key, value: { kind: 'integer', value: value.value } };
    case 'bool':
      return { key, value: { kind: 'flag', value: value.value } };
    case 'string':
      return { key, value: { kind: 'text', value: value.value } };
    case 'bytes':
      return { key, value: { kind: 'data', value: value.value } };
    case undefined:
      throw new AegisError('REQUEST_MALFORMED', `The override "${key}" has no value.`);
  }
}

/** Overrides of a run as a node reads them. Only single values exist there. */
export function toWireScalar({ key, value }: ConfigEntry): WireScalar {
  switch (value.kind) {
    case 'real':
      return { scalar: { $case: 'double', value: value.value } };
    case 'integer': {
      const integer = integerValue(key, value.value);
      return { scalar: integer };
    }
    case 'flag':
      return { scalar: { $case: 'bool', value: value.value } };
    case 'text':
      return { scalar: { $case: 'string', value: value.value } };
    case 'data':
      return { scalar: { $case: 'bytes', value: value.value } };
    default:
      throw new AegisError('PLAN_INVALID', `The override "${key}" is a list; Flower takes single values only.`);
  }
}
