// FlowerService/Join: the one stream of `start_client`, one instruction and one answer at a time. A message holds a whole
// model: its arrays pass by as views, only what stands around them is decoded.

import {
  ClientMessage_DisconnectRes,
  ClientMessage_EvaluateRes,
  ClientMessage_FitRes,
  ClientMessage_FitRes_MetricsEntry,
  ClientMessage_GetParametersRes,
  ServerMessage,
  ServerMessage_EvaluateIns_ConfigEntry,
  type Scalar as WireScalar,
} from '@aegis/contracts/flwr/proto/transport';
import { StrictReader } from '@aegis/contracts/strict-reader';
import { AegisError } from '@aegis/errors';
import { rawField, strictText } from '@aegis/service-kit';
import { decodeWith } from './decode.ts';
import { limits } from './limits.ts';
import type { ConfigEntry, Scalar } from './records.ts';
import type { TaskKind } from './render-task.ts';

export const JOIN_PATH = '/flwr.proto.FlowerService/Join';
const TENSOR_TYPE = 'numpy.ndarray';

export type JoinReply =
  /** The client leaves. */
  | { readonly kind: 'disconnect' }
  | { readonly kind: 'failure'; readonly code: number; readonly reason: string }
  /** Complete .npy files, views into the message. */
  | { readonly kind: 'initial-model'; readonly tensors: readonly Buffer[] }
  | {
      readonly kind: 'train';
      readonly tensors: readonly Buffer[];
      readonly weight: number;
      readonly metrics: readonly ConfigEntry[];
    }
  /** The loss is the first of the metrics; it travels as a float32. */
  | { readonly kind: 'evaluate'; readonly weight: number; readonly metrics: readonly ConfigEntry[] };

// Field numbers of transport.proto.
const instruction = { 'initial-model': 3, train: 4, evaluate: 5 } as const satisfies Record<TaskKind, number>;
const answer = { disconnect: 1, parameters: 3, fit: 4, evaluate: 5 } as const;
const PARAMETERS_OF_INS = 1;
const PARAMETERS_OF_RES = 2;
const TENSORS = 1;
const TENSOR_TYPE_FIELD = 2;
const METRICS_OF_RES = 4;
const LENGTH_DELIMITED = 2;

const refuse = (detail: string): AegisError => new AegisError('REPLY_MALFORMED', detail);

/** An instruction, in pieces: each tensor is a complete .npy file, itself in pieces. Lists have no place in its config. */
export function encodeInstruction(
  kind: TaskKind,
  config: readonly ConfigEntry[],
  tensors: readonly (readonly Uint8Array[])[],
): Uint8Array[] {
  const entries = config.map((entry) => configEntry(kind, entry));
  if (kind === 'initial-model') return [field(instruction[kind], entries)].flat();
  const parameters = tensors.flatMap((pieces) => field(TENSORS, pieces));
  const type = Buffer.from(TENSOR_TYPE);
  const inside = [...field(PARAMETERS_OF_INS, [...parameters, ...field(2, [type])]), ...entries];
  return field(instruction[kind], inside);
}

/** The client goes, and comes again after so many seconds; 0 = it ends. */
export const encodeReconnect = (seconds: number): Buffer =>
  Buffer.from(ServerMessage.encode({ msg: { $case: 'reconnectIns', value: { seconds: BigInt(seconds) } } }).finish());

/** Throws REQUEST_MALFORMED for what is no message, REPLY_MALFORMED for what no client answers. */
export function readJoinReply(bytes: Buffer): JoinReply {
  const [number, body] = onlyField(bytes);
  switch (number) {
    case answer.disconnect:
      decodeWith(ClientMessage_DisconnectRes, body, 'DisconnectRes');
      return { kind: 'disconnect' };
    case answer.parameters: {
      const { head, tensors } = apart(body);
      const { status } = decodeWith(ClientMessage_GetParametersRes, head, 'GetParametersRes');
      return failureOf(status) ?? { kind: 'initial-model', tensors };
    }
    case answer.fit: {
      const { head, tensors } = apart(body);
      const { rest, metrics } = metricsOf(head);
      const { status, numExamples } = decodeWith(ClientMessage_FitRes, rest, 'FitRes');
      return failureOf(status) ?? { kind: 'train', tensors, weight: Number(numExamples), metrics };
    }
    case answer.evaluate: {
      const { rest, metrics } = metricsOf(body);
      const { status, loss, numExamples } = decodeWith(ClientMessage_EvaluateRes, rest, 'EvaluateRes');
      const all = [{ key: 'loss', value: { kind: 'real', value: loss } } satisfies ConfigEntry, ...metrics];
      return failureOf(status) ?? { kind: 'evaluate', weight: Number(numExamples), metrics: all };
    }
    default:
      throw refuse('The message is not an answer to any instruction.');
  }
}

const field = (number: number, pieces: readonly Uint8Array[]): Uint8Array[] => [
  rawField.prefix(
    number,
    pieces.reduce((sum, { byteLength }) => sum + byteLength, 0),
  ),
  ...pieces,
];

/** A map entry of the instruction's config; all three have the same form. */
function configEntry(kind: TaskKind, { key, value }: ConfigEntry): Buffer {
  const entry = ServerMessage_EvaluateIns_ConfigEntry.encode({
    key,
    value: { scalar: wireScalar(key, value) },
  }).finish();
  return Buffer.concat(field(kind === 'initial-model' ? 1 : 2, [entry]));
}

function wireScalar(key: string, scalar: Scalar): NonNullable<WireScalar['scalar']> {
  switch (scalar.kind) {
    case 'real':
      return { $case: 'double', value: scalar.value };
    case 'integer':
      return { $case: 'sint64', value: scalar.value };
    case 'flag':
      return { $case: 'bool', value: scalar.value };
    case 'text':
      return { $case: 'string', value: scalar.value };
    case 'data':
      return { $case: 'bytes', value: scalar.value };
    default:
      throw new AegisError('PLAN_INVALID', `start_client takes no list, and "${key}" of the config is one.`);
  }
}

/** Fields of a message; a length-delimited one comes with a view of its bytes. */
function* fieldsOf(message: Buffer): Generator<[number: number, body: Buffer | null]> {
  try {
    const reader = new StrictReader(message);
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      if (type === LENGTH_DELIMITED) {
        const bytes = reader.bytes();
        yield [number, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)];
      } else {
        reader.skip(type, number);
        yield [number, null];
      }
    }
  } catch (cause) {
    if (cause instanceof AegisError) throw cause;
    throw new AegisError('REQUEST_MALFORMED', 'Not a ClientMessage.', cause);
  }
}

function onlyField(message: Buffer): [number, Buffer] {
  let found: [number, Buffer] | null = null;
  for (const [number, body] of fieldsOf(message)) {
    if (found !== null || body === null) throw refuse('A message is one answer, and nothing else.');
    found = [number, body];
  }
  if (found === null) throw refuse('The message is empty.');
  return found;
}

/** The answer without its arrays, and the arrays. */
function apart(body: Buffer): { head: Buffer; tensors: Buffer[] } {
  const { head, body: parameters } = rawField.split(body, PARAMETERS_OF_RES, { once: true });
  const tensors: Buffer[] = [];
  let type = '';
  for (const [number, value] of fieldsOf(parameters)) {
    if (number === TENSORS && value !== null) tensors.push(value);
    else if (number === TENSOR_TYPE_FIELD && value !== null) type = typeIn(value);
    if (tensors.length > limits.children) throw refuse(`The answer has more than ${limits.children} arrays.`);
  }
  // Without arrays a client may leave out the type as well.
  if (type !== TENSOR_TYPE && tensors.length > 0) throw refuse(`Its arrays are "${type}", not "${TENSOR_TYPE}".`);
  return { head, tensors };
}

const typeIn = (value: Buffer): string => {
  try {
    return strictText(value).slice(0, 40);
  } catch (cause) {
    throw new AegisError('REQUEST_MALFORMED', 'Not a ClientMessage.', cause);
  }
};

/** Numbers only: text and bytes have no mean, they stay behind as they do in a SuperNode's answer. */
function metricsOf(head: Buffer): { rest: Buffer; metrics: ConfigEntry[] } {
  if (head.byteLength > limits.record) throw refuse(`The answer has ${head.byteLength} bytes besides its arrays.`);
  const metrics: ConfigEntry[] = [];
  let entries = 0;
  for (const [number, value] of fieldsOf(head)) {
    if (number !== METRICS_OF_RES || value === null) continue;
    entries += 1;
    if (entries > limits.metrics) throw refuse(`The answer has more than ${limits.metrics} metrics.`);
    const entry = decodeWith(ClientMessage_FitRes_MetricsEntry, value, 'metric');
    const figure = numberOf(entry.value);
    if (figure !== null) metrics.push({ key: entry.key, value: figure });
  }
  return { rest: rawField.split(head, METRICS_OF_RES).head, metrics };
}

function numberOf(value: WireScalar | undefined): Scalar | null {
  const scalar = value?.scalar;
  switch (scalar?.$case) {
    case 'double':
      return { kind: 'real', value: scalar.value };
    case 'sint64':
    case 'uint64':
      return { kind: 'integer', value: scalar.value };
    default:
      return null;
  }
}

function failureOf(status: { code: number; message: string } | undefined): JoinReply | null {
  if (status === undefined || status.code === 0) return null;
  return { kind: 'failure', code: status.code, reason: status.message };
}
