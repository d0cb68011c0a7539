// Flower's own SecAgg+: what a server says to `secaggplus_mod`, and what the mod says to it, in the record `secaggplus_configs` of one
// train message a stage. Types are strict: the mod checks whether a number is whole.

import { AegisError } from '@aegis/errors';
import type { ConfigEntry, Scalar } from './records.ts';

export const SECAGGPLUS_RECORD = 'secaggplus_configs';

export type SecaggplusRequest =
  | {
      stage: 'setup';
      sampleNum: number;
      shareNum: number;
      threshold: number;
      clippingRange: number;
      targetRange: number;
      modRange: number;
      maxWeight: number;
    }
  /** Of every neighbour and the node itself: public keys in PEM. */
  | { stage: 'share_keys'; keys: readonly { node: bigint; pk1: Uint8Array; pk2: Uint8Array }[] }
  | { stage: 'collect_masked_vectors'; sealed: readonly { from: bigint; ciphertext: Uint8Array }[] }
  | { stage: 'unmask'; active: readonly bigint[]; dead: readonly bigint[] };

export type SecaggplusStage = SecaggplusRequest['stage'];

export type SecaggplusAnswer =
  | { stage: 'setup'; pk1: Buffer; pk2: Buffer }
  | { stage: 'share_keys'; sealed: { to: bigint; ciphertext: Buffer }[] }
  /** .npy files of int64, the weight's first. */
  | { stage: 'collect_masked_vectors'; arrays: Buffer[] }
  | { stage: 'unmask'; openings: { of: bigint; share: Buffer }[] };

/** The entries in the order in which Flower's own server writes them. */
export function secaggplusEntries(request: SecaggplusRequest): ConfigEntry[] {
  const stage: ConfigEntry = { key: 'stage', value: { kind: 'text', value: request.stage } };
  const whole = (key: string, value: number): ConfigEntry => ({
    key,
    value: { kind: 'integer', value: BigInt(value) },
  });
  const real = (key: string, value: number): ConfigEntry => ({ key, value: { kind: 'real', value } });
  switch (request.stage) {
    case 'setup':
      return [
        stage,
        whole('sample_num', request.sampleNum),
        whole('share_num', request.shareNum),
        whole('threshold', request.threshold),
        real('clipping_range', request.clippingRange),
        whole('target_range', request.targetRange),
        whole('mod_range', request.modRange),
        real('max_weight', request.maxWeight),
      ];
    case 'share_keys': {
      const keys = request.keys.map(({ node, pk1, pk2 }) => ({ key: String(node), value: datas([pk1, pk2]) }));
      return [...keys, stage];
    }
    case 'collect_masked_vectors':
      return [
        stage,
        { key: 'ctxts', value: datas(request.sealed.map(({ ciphertext }) => ciphertext)) },
        { key: 'srcs', value: { kind: 'integers', value: request.sealed.map(({ from }) => from) } },
      ];
    case 'unmask':
      return [
        stage,
        { key: 'active_nids', value: { kind: 'integers', value: [...request.active] } },
        { key: 'dead_nids', value: { kind: 'integers', value: [...request.dead] } },
      ];
  }
}

const datas = (values: readonly Uint8Array[]): Scalar => ({
  kind: 'datas',
  value: values.map((one) => Buffer.from(one)),
});

/** REPLY_MALFORMED unless the record is an answer to this stage. What it says is looked at where the round is kept. */
export function readSecaggplusAnswer(stage: SecaggplusStage, entries: readonly ConfigEntry[]): SecaggplusAnswer {
  const record = new Map(entries.map(({ key, value }) => [key, value]));
  switch (stage) {
    case 'setup':
      return { stage, pk1: dataOf(record, 'pk1'), pk2: dataOf(record, 'pk2') };
    case 'share_keys': {
      const pairs = paired(integersOf(record, 'dsts'), datasOf(record, 'ctxts'));
      return { stage, sealed: pairs.map(([to, ciphertext]) => ({ to, ciphertext })) };
    }
    case 'collect_masked_vectors':
      return { stage, arrays: datasOf(record, 'masked_params') };
    case 'unmask': {
      const pairs = paired(integersOf(record, 'nids'), datasOf(record, 'shares'));
      return { stage, openings: pairs.map(([of, share]) => ({ of, share })) };
    }
  }
}

type Entries = ReadonlyMap<string, Scalar>;

const refuse = (detail: string): AegisError =>
  new AegisError('REPLY_MALFORMED', `The record "${SECAGGPLUS_RECORD}" ${detail}.`);

function dataOf(record: Entries, key: string): Buffer {
  const value = record.get(key);
  if (value?.kind === 'data') return value.value;
  throw refuse(`has no bytes under "${key}"`);
}

function datasOf(record: Entries, key: string): Buffer[] {
  const value = record.get(key);
  if (value?.kind === 'datas') return value.value;
  if (value?.kind === 'flags' && value.value.length === 0) return [];
  throw refuse(`has no list of bytes under "${key}"`);
}

function integersOf(record: Entries, key: string): bigint[] {
  const value = record.get(key);
  if (value?.kind === 'integers') return value.value;
  if (value?.kind === 'flags' && value.value.length === 0) return [];
  throw refuse(`has no list of integers under "${key}"`);
}

function paired(nodes: bigint[], values: Buffer[]): [bigint, Buffer][] {
  if (nodes.length !== values.length) throw refuse(`names ${nodes.length} nodes for ${values.length} values`);
  return nodes.map((node, at) => [node, values[at] as Buffer]);
}
