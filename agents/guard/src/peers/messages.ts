import {
  RecordDialect,
  TaskKind,
  type ConfigEntry as WireEntry,
  type Scalar as WireScalar,
} from '@aegis/contracts/aegis/events/v1/task';
import {
  ClientFrame,
  NodeService,
  ServerFrame,
  type TaskOffer,
  type Run as WireRun,
} from '@aegis/contracts/aegis/node/v1/node';
import { AegisError } from '@aegis/errors';
import { fromEntry, toEntry } from '@aegis/flower-wire';
import { rawField } from '@aegis/service-kit';
import type { ConfigEntry, RunFacts, Task } from '../domain/task.ts';
import type { SentPart, Submission } from './contract.ts';
import { malformed, place, readMasking } from './masking.ts';

export const { path: CONNECT_PATH } = NodeService.connect;
const CONTENT = 15;
/** What one message of a server may describe; more is refused before it becomes objects. */
const LARGEST_HEAD = 16 * 2 ** 20;

export type ToSay = NonNullable<ClientFrame['frame']>;
export type Said = NonNullable<ServerFrame['frame']>;
export interface Heard {
  readonly said: Said;
  /** A view into the message. */
  readonly content: Buffer;
}

export const writeFrame = (frame: ToSay, content?: Buffer): Buffer => {
  const head = Buffer.from(ClientFrame.encode({ frame, content: Buffer.alloc(0) }).finish());
  return content ? rawField.join(head, CONTENT, content) : head;
};

/** null: a kind of frame that this release does not know. Throws REQUEST_MALFORMED for what is no frame. */
export const readFrame = (bytes: Buffer): Heard | null => {
  const { head, body } = rawField.split(bytes, CONTENT);
  if (head.byteLength > LARGEST_HEAD) throw malformed(`A frame of ${head.byteLength} bytes.`);
  try {
    const { frame } = ServerFrame.decode(head);
    return frame ? { said: frame, content: body } : null;
  } catch (cause) {
    throw new AegisError('REQUEST_MALFORMED', 'A frame of the server cannot be decoded.', cause);
  }
};

const kinds: Readonly<Record<number, Task['kind']>> = {
  [TaskKind.TRAIN]: 'train',
  [TaskKind.EVALUATE]: 'evaluate',
  [TaskKind.INITIAL_MODEL]: 'initial-model',
};

/** Throws REQUEST_MALFORMED for an offer that no SuperNode could be given. */
export const readOffer = (offer: TaskOffer): Task => {
  const kind = kinds[offer.kind];
  const { taskId, layout, model } = offer;
  if (!/^[0-9A-Za-z_-]{1,64}$/.test(taskId)) throw malformed('A task has an id that is none.');
  if (kind === undefined || layout === undefined)
    throw malformed('The server offers tasks without saying how an app reads them.');
  if ((model === undefined) !== (kind === 'initial-model'))
    throw malformed(`A task of kind ${kind} has the wrong model.`);
  return {
    taskId,
    runId: offer.runId,
    round: offer.round,
    kind,
    config: offer.config.map(entryOf),
    layout: {
      dialect: layout.dialect === RecordDialect.LEGACY ? 'legacy' : 'message',
      arrayRecordKey: layout.arrayRecordKey,
      configRecordKey: layout.configRecordKey,
      weightedByKey: layout.weightedByKey,
    },
    model: model ? readModel(model) : null,
    createdAt: offer.createdAt,
    ttl: offer.ttl,
    groupId: offer.groupId,
    traceparent: offer.traceparent,
    masking: maskingOf(offer, kind),
  };
};

const maskingOf = ({ masking }: TaskOffer, kind: Task['kind']): Task['masking'] => {
  if (masking === undefined) return null;
  if (kind === 'initial-model') throw malformed('A first model cannot be masked.');
  return readMasking(masking);
};

const readModel = ({ modelId, bytes, tensors }: NonNullable<TaskOffer['model']>): NonNullable<Task['model']> => {
  if (!/^[0-9a-f]{64}$/.test(modelId)) throw malformed('A model has an id that is no hash.');
  const size = place(bytes);
  return {
    modelId,
    bytes: size,
    tensors: tensors.map(({ name, dtype, shape, offset, length }) => {
      if (offset + length > bytes) throw malformed('A tensor lies outside its model.');
      return { name, dtype, shape: shape.map(place), offset: place(offset), length: place(length) };
    }),
  };
};

export const readRun = (run: WireRun): RunFacts => {
  const { runId, seriesId, appId, appVersion, appHash, federation } = run;
  if (!/^[0-9a-f]{64}$/.test(appHash)) throw malformed('A run has an app without a hash.');
  return { runId, seriesId, appId, appVersion, appHash, federation, overrides: run.overrides.map(entryOf) };
};

const entryOf = (entry: WireEntry): ConfigEntry => {
  if ((entry.value as WireScalar | undefined)?.value === undefined)
    throw malformed('A value of a configuration is missing.');
  return toEntry(entry);
};

export const submitFrame = ({ taskId, tensors, masked, metrics }: Submission): ToSay => ({
  $case: 'submit',
  value: {
    taskId,
    tensors: tensors.map(({ name, parts }) => ({
      name,
      slices: parts.map(wholePart),
    })),
    metrics: metrics.map(fromEntry),
    // How long the training took tells how much there was to train on.
    runtimeSeconds: 0,
    masked: masked.map(wholePart),
  },
});

const wholePart = ({ partId, length }: SentPart) => ({ partId, offset: 0n, length: BigInt(length) });
