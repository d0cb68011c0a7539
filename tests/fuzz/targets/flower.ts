// Flower's own messages: every method of its APIs, the objects that answers are made of, and the stream of start_client.
import { AegisError } from '@aegis/errors';
import {
  type CallHead,
  ControlService,
  checkTimestamp,
  type FleetHandler,
  FleetService,
  holdChunkHeader,
  holdObject,
  parseReply,
  readArrayBody,
  readCredential,
  readJoinReply,
  readMessage,
  readNamesBody,
  readObject,
} from '@aegis/flower-wire';
import { rawField } from '@aegis/service-kit';
import { readAnnouncement } from '../../../packages/flower-wire/src/push-messages.ts';
import {
  type RecordedCall,
  readExcerpt,
  recordedObjects,
  transcriptNames,
} from '../../../packages/flower-wire/src/recorded.ts';
import { decodeConfigRecord, decodeMetricRecord } from '../../../packages/flower-wire/src/records.ts';
import { ScriptedControl } from '../../../packages/flower-wire/src/scripted-handlers.ts';
import type { Target } from '../target.ts';

const NO_SIGNAL = new AbortController().signal;

const headOf = (dialect: 'http' | 'grpc'): CallHead => ({
  ...{ dialect, connection: {}, peer: '192.0.2.7', signal: NO_SIGNAL },
  text: () => '2026-11-21T20:30:41+00:00',
  binary: () => Buffer.from('x'),
});
const heads = [headOf('http'), headOf('grpc')] as const;

/** Takes whatever a request asks for. */
const handler = new Proxy({} as FleetHandler, {
  get: (_target, name) => async () => {
    if (name === 'pullTask') return null;
    if (name === 'run') throw new AegisError('RUN_NOT_ACTIVE');
    if (name === 'fab') return { hash: '', content: Buffer.alloc(0), verifications: new Map() };
    if (name === 'pullObject') return { state: 'unknown' };
    if (name === 'announce') return { wanted: [], session: '' };
    return name === 'heartbeat' || name === 'pushObject' ? true : 1n;
  },
});

const methodsOf = (calls: readonly RecordedCall[], more: readonly string[]): string[] =>
  [...new Set([...more, ...calls.map(({ method }) => method)])].sort();

const FLEET = [
  ...['register-node', 'activate-node', 'create-node', 'deactivate-node', 'unregister-node', 'delete-node'],
  ...['send-node-heartbeat', 'pull-messages', 'push-messages', 'get-run', 'get-fab', 'push-object', 'pull-object'],
  'confirm-message-received',
];

const CONTROL = [
  'get-auth-tokens',
  'get-login-details',
  'list-federations',
  'list-nodes',
  'list-runs',
  'refresh-auth-tokens',
  'register-node',
  'show-federation',
  'start-run',
  'stop-run',
  'stream-logs',
  'unregister-node',
];

const api = (
  which: 'fleet' | 'control',
  service: { call(method: string, body: Buffer, head: CallHead): Promise<unknown> },
  known: readonly string[],
): Target => {
  const calls = transcriptNames.filter((name) => name.includes(which)).flatMap(readExcerpt);
  const methods = methodsOf(calls, known);
  return {
    ...{ name: `flower-${which}`, form: 'protobuf', keep: 2 },
    door: `Flower's ${which === 'fleet' ? 'Fleet' : 'Control'} API, ${methods.length} methods, over HTTP and gRPC`,
    words: ['train', 'evaluate', 'a'.repeat(64), '\xff\xfe', 'num-examples', '\x00'],
    seeds: () =>
      calls.flatMap(({ method, request }, index) =>
        request.byteLength > 8_192 ? [] : [Buffer.concat([Buffer.from([methods.indexOf(method), index % 2]), request])],
      ),
    open: () => ({
      try: async (input) => {
        const method = methods[(input[0] ?? 0) % methods.length] as string;
        const dialect = (input[1] ?? 0) % 2;
        const body = input.subarray(2);
        await service.call(method, body, heads[dialect === 0 ? 0 : 1]);
        return { note: method, question: { kind: `${which}/${method}`, bytes: body } };
      },
    }),
  };
};

export const fleet = api('fleet', new FleetService(handler), FLEET);
/** The scripted handler remembers what it was asked: now and then another one takes its place. */
const FORGET_AFTER = 1_000;
let asked = 0;
let scripted = new ControlService(new ScriptedControl(), { now: () => 0 });
const forgetful = {
  call: (method: string, body: Buffer, head: CallHead) => {
    asked += 1;
    if (asked % FORGET_AFTER === 0) scripted = new ControlService(new ScriptedControl(), { now: () => 0 });
    return scripted.call(method, body, head);
  },
};
export const control = api('control', forgetful, CONTROL);

const whole = transcriptNames.flatMap((name) => [...recordedObjects(readExcerpt(name), rawField.split).values()]);
const small = whole.filter(({ byteLength }) => byteLength < 4_096);

export const objects: Target = {
  ...{ name: 'flower-objects', door: 'objects of an answer, as push-object carries them', form: 'bytes' },
  words: [
    ...['ArrayChunk  ', 'Array ', 'ArrayRecord ', 'MetricRecord  ', 'ConfigRecord  ', 'RecordDict ', 'Message '],
    ...[
      '\x00',
      '0'.repeat(64),
      ',',
      '{"dtype": "float32", "shape": [',
      '"arraychunk_ids": [0, 0]',
      '1e400',
      '\\ud800',
      'NaN',
    ],
  ],
  seeds: () => small,
  open: () => ({
    try: (input) => {
      holdChunkHeader(input);
      const { type, children, body } = readObject(input);
      holdObject(input);
      if (type === 'Array') readArrayBody(body, children);
      else if (type === 'ArrayRecord' || type === 'RecordDict') readNamesBody(body, children);
      else if (type === 'ConfigRecord') decodeConfigRecord(body);
      else if (type === 'MetricRecord') decodeMetricRecord(body);
      else if (type === 'Message') readMessage(body);
      return { note: type, question: { kind: 'object', bytes: input } };
    },
  }),
};

export const records: Target = {
  ...{ name: 'flower-records', door: 'config, metrics and messages inside objects', form: 'protobuf', keep: 1 },
  words: ['num-examples', '\xff', 'a'.repeat(300)],
  seeds: () =>
    small.flatMap((bytes) => {
      const { type, body } = readObject(bytes);
      const which = ['ConfigRecord', 'MetricRecord', 'Message'].indexOf(type);
      return which < 0 ? [] : [Buffer.concat([Buffer.from([which]), body])];
    }),
  open: () => ({
    try: (input) => {
      const which = (input[0] ?? 0) % 3;
      const body = input.subarray(1);
      [decodeConfigRecord, decodeMetricRecord, readMessage][which]?.(body);
      const kind = ['record/ConfigRecord', 'record/MetricRecord', 'record/Message'][which] as string;
      return { note: kind, question: { kind, bytes: body } };
    },
  }),
};

/** Whole answers of the recorded run, of which one object is another one. */
export const replies: Target = {
  ...{ name: 'flower-replies', door: 'a whole answer, judged when its last object is there', form: 'bytes', keep: 2 },
  words: ['num-examples', '"arraychunk_ids": [0]', '"float32"', '\x00'],
  seeds: () => {
    const ids = [...heldObjects().entries()];
    return ids.flatMap(([, { body }], index) =>
      body === null ? [] : [Buffer.concat([Buffer.from([index % 8, index % 256]), body])],
    );
  },
  open: () => {
    const held = heldObjects();
    const ids = [...held.keys()];
    const announced = readExcerpt('fedavg.fleet')
      .filter(({ method }) => method === 'push-messages')
      .map(({ request }) => readAnnouncement(request));
    const layout = {
      dialect: 'message',
      arrayRecordKey: 'arrays',
      configRecordKey: '',
      weightedByKey: 'num-examples',
    } as const;
    return {
      try: (input) => {
        const { reply, tree } = announced[(input[0] ?? 0) % announced.length] as (typeof announced)[number];
        const id = ids[(input[1] ?? 0) % ids.length] as string;
        const object = held.get(id);
        const objectsNow = new Map(held);
        if (object) objectsNow.set(id, { ...object, body: input.subarray(2) });
        const kind = reply.type === 'evaluate' ? 'evaluate' : 'train';
        parseReply(reply, tree, objectsNow, { kind, layout, tensorNames: [] });
        return { note: kind };
      },
    };
  },
};

const heldObjects = () =>
  new Map(
    [...recordedObjects(readExcerpt('fedavg.fleet'), rawField.split)].map(([id, bytes]) => [id, holdObject(bytes)]),
  );

const PARAMETERS = Buffer.from('0a120a0a934e554d5059010076000a0d6e756d70792e6e646172726179', 'hex');
export const join: Target = {
  ...{ name: 'flower-join', door: 'FlowerService/Join, the stream of start_client', form: 'protobuf' },
  words: ['numpy.ndarray', 'accuracy', '\x93NUMPY\x01\x00'],
  seeds: () => [
    Buffer.from('0a020802', 'hex'),
    Buffer.concat([Buffer.from('1a', 'hex'), lengthOf(PARAMETERS), PARAMETERS]),
    Buffer.concat([
      Buffer.from('22', 'hex'),
      lengthOf(PARAMETERS, 4),
      Buffer.from('0a00', 'hex'),
      Buffer.from([18, PARAMETERS.length]),
      PARAMETERS,
    ]),
    Buffer.from('2a0a0a0015000080401814', 'hex'),
  ],
  open: () => ({
    try: (input) => {
      const { kind } = readJoinReply(input);
      return { note: kind, question: { kind: 'join', bytes: input } };
    },
  }),
};
const lengthOf = (bytes: Buffer, more = 0): Buffer => Buffer.from([bytes.byteLength + more]);

export const credentials: Target = {
  ...{ name: 'node-auth', door: 'the headers that a node signs its calls with', form: 'text' },
  words: [
    '2026-11-21T20:30:41.932108+00:00',
    '\n',
    'Z',
    '+23:59',
    '-----BEGIN PUBLIC KEY-----',
    '.999999999',
    '0000-00-00',
  ],
  seeds: () => [
    Buffer.from('2026-11-21T20:30:41.932108+00:00\nkey\nsignature'),
    Buffer.from('2026-11-21T20:30:41Z\n\n'),
  ],
  open: () => ({
    try: (input) => {
      const [timestamp = '', key = '', signature = ''] = input.toString('latin1').split('\n');
      const given: Record<string, string> = { 'flwr-public-key': key, 'flwr-signature': signature };
      readCredential({
        ...heads[0],
        text: () => timestamp,
        binary: (name) => Buffer.from(given[name] ?? '', 'base64'),
      });
      checkTimestamp(timestamp, Date.parse('2026-11-21T20:30:42Z'));
      return { note: 'in time', question: { kind: 'timestamp', bytes: Buffer.from(timestamp, 'latin1') } };
    },
  }),
};
