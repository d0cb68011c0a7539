// What the native file exports, as crates/aegis-node declares it. Private to this package: import index.ts instead.

import { createRequire } from 'node:module';

export interface RawDataKey {
  readonly __key: never;
}
export interface RawKeyFile {
  wrap(key: RawDataKey, context: string): Buffer;
  unwrap(wrapped: Uint8Array, context: string): RawDataKey;
}
export interface RawIntakeLog {
  tornBytes(): number;
  append(kind: string, id: string, pieces: Uint8Array[], expectedSha256?: string): Promise<boolean>;
  has(id: string): boolean;
  entries(kind?: string): { id: string; kind: string; length: number }[];
  read(id: string, offset?: number, length?: number): Promise<Buffer>;
  close(): Promise<void>;
}
export interface RawSlice {
  part: string;
  offset: number;
  length: number;
}
export interface RawSpec {
  name: string;
  dtype: string;
  shape: number[];
}
export interface RawSource {
  name: string;
  slices: RawSlice[];
  dtype?: string;
}
export interface RawModelInfo {
  sha256: string;
  bytes: number;
  tensors: { name: string; dtype: string; shape: number[]; offset: number; length: number }[];
}
export interface RawFold {
  check(log: RawIntakeLog, tensors: RawSource[], maxNorm?: number): Promise<{ norm: number; elements: number }>;
  add(log: RawIntakeLog, tensors: RawSource[], weight: number): Promise<void>;
  count(): number;
  totalWeight(): number;
  writeModel(path: string, key: RawDataKey): Promise<RawModelInfo>;
  close(): void;
}
export interface RawModelFile {
  info(): RawModelInfo;
  read(offset: number, length: number): Promise<Buffer>;
  exportNpz(path: string): Promise<void>;
  exportSafetensors(path: string): Promise<void>;
  close(): void;
}

export interface RawPrivacyEpsilon {
  epsilon: number;
  lower: number;
  delta: number;
  method: string;
  order?: number;
}
export interface RawPrivacyAccountant {
  compose(events: string, times: number): void;
  epsilon(delta: number): RawPrivacyEpsilon;
  fork(): RawPrivacyAccountant;
  events(): string;
}
export interface RawNoised {
  model: RawModelInfo;
  bits?: number;
  found: boolean;
}
export interface RawPrivateFold {
  add(
    log: RawIntakeLog,
    tensors: RawSource[],
    weight: number,
  ): Promise<{ norm: number; clipped: boolean; weight: number }>;
  count(): number;
  finish(
    how: {
      noiseMultiplier: number;
      denominator: number;
      bits?: { sum: number; noiseMultiplier: number };
      tree?: { secret: string; tree: number; leaf: number };
      path: string;
    },
    key: RawDataKey,
  ): Promise<RawNoised>;
  close(): void;
}
export interface RawLocalNoise {
  sigma(): number;
  apply(
    tensors: { name: string; dtype: string; came: Uint8Array; goes: Uint8Array }[],
  ): Promise<{ tensors: Buffer[]; norm: number; clipped: boolean }>;
}
export interface RawSigningKey {
  publicPem(): string;
}
export interface RawSecaggGrid {
  length(): number;
  modulus(cohort: number, noise: number): string;
  noiseShare(multiplier: number, honest: number): number;
  noise(honest: number): string;
  weightOf(examples: number, maxExamples: number): number;
}
export interface RawSecaggClient {
  save(): Buffer;
  stage(): number | null;
  ended(): string | null;
  advert(): string | null;
  abort(): void;
  shareKeys(request: string, now: number): Promise<string>;
  maskInput(
    request: string,
    grid: RawSecaggGrid,
    update: { tensors: Uint8Array[]; start?: Uint8Array[]; metrics: number[]; weight: number },
    threads: number,
  ): Promise<Buffer>;
  confirmSurvivors(request: string, key: RawSigningKey): Promise<string>;
  unmask(request: string): Promise<string>;
}
export interface RawSecaggRoster {
  neighbours(of: string): string[];
  checkConfirmation(confirmation: string, survivors: string[], model: string): void;
}
export interface RawMaskRemoval {
  take(opened: string): void;
  check(opened: string): void;
  isPossible(): boolean;
  totalMask(threads: number): Promise<Buffer>;
}
export interface RawOpenedSum {
  survivors(): number;
  weight(): number;
  metric(index: number): number;
  tensor(index: number): Buffer;
  writeModel(start: RawModelFile, path: string, key: RawDataKey): Promise<RawModelInfo>;
  close(): void;
}
export interface RawMaskedSum {
  add(packed: Uint8Array): Promise<void>;
  checkSlices(log: RawIntakeLog, slices: RawSlice[]): Promise<void>;
  addSlices(log: RawIntakeLog, slices: RawSlice[]): Promise<void>;
  count(): number;
  open(
    grid: RawSecaggGrid,
    survivors: number,
    noise: number,
    totalMask: Uint8Array,
    divisor?: number,
  ): Promise<RawOpenedSum>;
  close(): void;
}
export interface RawFlowerPeer {
  node: string;
  publicKey: Uint8Array;
}
export interface RawFlowerMeans {
  weight(): number;
  array(index: number, dtype?: string): Promise<Buffer>;
  close(): void;
}
export interface RawFlowerSum {
  add(arrays: Uint8Array[]): Promise<void>;
  count(): number;
  removePrivate(shares: Uint8Array[]): Promise<void>;
  removePairs(dropped: RawFlowerPeer, shares: Uint8Array[], delivered: RawFlowerPeer[]): Promise<void>;
  open(): Promise<RawFlowerMeans>;
  close(): void;
}

export interface Binding {
  sha256Hex(pieces: Uint8Array[]): Promise<string>;
  sha256HexSync(pieces: Uint8Array[]): string;
  verifyEcdsa(publicKeyPem: Uint8Array, message: Uint8Array, signatureDer: Uint8Array): Promise<boolean>;
  verifyEcdsaSync(publicKeyPem: Uint8Array, message: Uint8Array, signatureDer: Uint8Array): boolean;
  DataKey: { generate(): RawDataKey; fromBytes(bytes: Uint8Array): RawDataKey };
  KeyFile: { open(path: string, create: boolean): RawKeyFile };
  sealFile(path: string, bytes: Uint8Array, key: RawDataKey, context: string): Promise<void>;
  openFile(path: string, key: RawDataKey, context: string): Promise<Buffer>;
  IntakeLog: { open(directory: string, key: RawDataKey, epoch: number, segmentBytes?: number): Promise<RawIntakeLog> };
  npyValueRange(npy: Uint8Array, dtype?: string): Promise<number[] | null>;
  npyReordered(npy: Uint8Array, spec: RawSpec): Promise<Buffer | null>;
  readNpyHeader(bytes: Uint8Array): { dtype: string; shape: number[]; fortranOrder: boolean; dataOffset: number };
  Fold: { create(specs: { name: string; dtype: string; shape: number[] }[]): RawFold };
  modelFromNpz(npz: Uint8Array, path: string, key: RawDataKey, maxBytes?: number): Promise<RawModelInfo>;
  modelFromSafetensors(bytes: Uint8Array, path: string, key: RawDataKey, maxBytes?: number): Promise<RawModelInfo>;
  modelFromTensors(
    tensors: { name: string; npy: Uint8Array; dtype?: string }[],
    path: string,
    key: RawDataKey,
  ): Promise<RawModelInfo>;
  modelFromLog(log: RawIntakeLog, tensors: RawSource[], path: string, key: RawDataKey): Promise<RawModelInfo>;
  ModelFile: { open(path: string, key: RawDataKey): Promise<RawModelFile> };
  privacyCheckEvents(events: string): string;
  privacyFilterDivergence(event: string, order: number): number;
  privacyFilterAllowance(order: number, epsilon: number, delta: number): number;
  privacyFilterEpsilon(order: number, spent: number, delta: number): number;
  privacyFilterOrder(epsilon: number, delta: number): number;
  privacyEpsilon(events: string, delta: number, effort?: string): Promise<RawPrivacyEpsilon>;
  privacyDelta(
    events: string,
    epsilon: number,
    effort?: string,
  ): Promise<{ delta: number; epsilon: number; method: string; order?: number }>;
  privacySigma(
    events: string,
    epsilon: number,
    delta: number,
    effort?: string,
  ): Promise<{ noiseMultiplier: number; spent: RawPrivacyEpsilon }>;
  privacyRounds(
    events: string,
    epsilon: number,
    delta: number,
    effort?: string,
  ): Promise<{ rounds: number; spent?: RawPrivacyEpsilon }>;
  PrivacyAccountant: { create(events: string): RawPrivacyAccountant };
  PrivateFold: {
    open(model: RawModelFile, clip: number, weightMax: number): Promise<RawPrivateFold>;
    found(path: string, key: RawDataKey): Promise<RawNoised | null>;
  };
  LocalNoise: {
    ofSigma(clip: number, sigma: number): RawLocalNoise;
    calibrated(clip: number, epsilon: number, delta: number): RawLocalNoise;
  };
  secaggParameters(cohort: number, dropouts: number, colluders: number, complete: boolean): Promise<string>;
  secaggTermsDigest(terms: string): string;
  secaggPlanDigest(plan: string): string;
  secaggRefusals(): string[];
  SigningKey: { fromPkcs8(der: Uint8Array): RawSigningKey };
  SecaggGrid: { create(specs: RawSpec[], options: string): RawSecaggGrid };
  SecaggClient: {
    advertise(node: string, terms: string, floors: string, key: RawSigningKey, expires: number): RawSecaggClient;
    lost(node: string, terms: string, floors: string): RawSecaggClient;
    restore(saved: Uint8Array): RawSecaggClient;
  };
  SecaggRoster: { create(terms: string, adverts: string, now: number): RawSecaggRoster };
  MaskRemoval: {
    create(
      terms: string,
      adverts: string,
      now: number,
      model: string,
      survivors: string[],
      dropped: string[],
    ): RawMaskRemoval;
  };
  MaskedSum: { create(terms: string): RawMaskedSum };
  FlowerSum: {
    create(
      setup: { clippingRange: number; targetRange: number; modRange: number; maxWeight: number },
      shapes: number[][],
    ): RawFlowerSum;
  };
  resetOnClose(fd: number, on: boolean): boolean;
  testPanicOnLoop(): void;
  testPanicOffLoop(): Promise<void>;
  testPanicUnguarded(): void;
  testAllCodes(): string[];
  testFailOnLoop(code: string): void;
  testFailOffLoop(code: string): Promise<void>;
}

export const binding = createRequire(import.meta.url)('./aegis-node.node') as Binding;
