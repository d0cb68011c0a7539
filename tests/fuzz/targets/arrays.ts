// Arrays and bundles as files: .npy, .npz, .safetensors, and the app bundle.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CoreError, npyValueRange, readNpyHeader } from '@aegis/core-native';
import { AegisError } from '@aegis/errors';
import { unpackBundle } from '../../../services/aggregator/src/flows/unpack-bundle.ts';
import { writeNpy, writeNpz } from '../../../services/aggregator/src/store/memory/npy.ts';
import { fab, zip } from '../../../services/aggregator/src/testing/bundles.ts';
import { npzArrays } from '../../../services/gateway/src/api/rest/files/unfold-npz.ts';
import { safetensorsArrays } from '../../../services/gateway/src/api/rest/files/unfold-safetensors.ts';
import { FileOfParts } from '../../../services/gateway/src/flows/file-of-parts.ts';
import type { Target } from '../target.ts';

const npyOf = (descr: string, shape: number[], count: number): Buffer =>
  Buffer.from(writeNpy({ descr, shape, values: Array.from({ length: count }, (_none, index) => index % 2) }));

const npys = (): Buffer[] => {
  const recorded = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/tensors.json'), 'utf8')) as unknown;
  return [
    ...['<f4', '<f8', '|i1', '<i2', '<i4', '<i8', '|u1', '<u2', '<u4', '<u8', '|b1'].map((descr) =>
      npyOf(descr, [2, 3], 6),
    ),
    ...[npyOf('<f4', [], 1), npyOf('<f4', [0], 0), npyOf('<f8', [4], 4), npyOf('<f4', [1, 1, 1, 2], 2)],
    ...npysIn(recorded),
  ];
};

/** Whatever in a file of vectors is an .npy file in hexadecimal or base64. */
const npysIn = (value: unknown): Buffer[] => {
  if (typeof value === 'string') {
    if (value.startsWith('934e554d5059')) return [Buffer.from(value, 'hex')];
    return value.startsWith('k05VTVBZ') ? [Buffer.from(value, 'base64')] : [];
  }
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(npysIn) : [];
};

/** The core has codes of its own; a panic of it is none of them. */
const retold = (caught: unknown): never => {
  if (caught instanceof CoreError && caught.code !== 'PANIC' && caught.code !== 'ARGUMENT')
    throw new AegisError('REPLY_MALFORMED', caught.message, caught);
  throw caught;
};

const NPY_WORDS = [
  ...[
    '\x93NUMPY\x01\x00',
    '\x93NUMPY\x02\x00',
    '\x93NUMPY\x03\x00',
    "'descr': '<f4'",
    "'<V2'",
    "'|O'",
    "'>f4'",
    "'<M8[ns]'",
  ],
  ...[
    "'fortran_order': True",
    "'fortran_order': False",
    "'shape': (18446744073709551615, 2)",
    '(-1,)',
    '(1, )',
    '()',
    'L',
  ],
  ...['nan', "{'descr': [('a', '<f4')],", '\n', '(2**40,)'],
];

export const npy: Target = {
  ...{ name: 'npy', door: 'an array: its header, and its values', form: 'bytes', words: NPY_WORDS },
  seeds: npys,
  open: () => ({
    try: async (input) => {
      try {
        const { descr, shape } = readNpyHeader(input) as { descr?: string; shape: readonly unknown[] };
        const range = await npyValueRange(input);
        const note = `${descr ?? ''} ${shape.length} ${range === null ? 'empty' : 'values'}`;
        return { note, question: { kind: 'npy', bytes: input } };
      } catch (caught) {
        return retold(caught);
      }
    },
  }),
};

const PART = 700;
/** As a gateway has it: cut into parts that the aggregator keeps. */
const fileOf = (bytes: Buffer): FileOfParts => {
  const parts = new Map<string, Buffer>();
  const slices = Array.from({ length: Math.ceil(bytes.byteLength / PART) }, (_none, index) => {
    const content = bytes.subarray(index * PART, (index + 1) * PART);
    const partId = createHash('sha256').update(content).digest('hex');
    parts.set(partId, content);
    return { partId, offset: 0, length: content.byteLength };
  });
  const readPart = async (_task: unknown, partId: string): Promise<Buffer> => parts.get(partId) ?? Buffer.alloc(0);
  return new FileOfParts(
    { aggregator: { readPart } } as never,
    { taskId: 't', nodeId: 1n, runId: 1n } as never,
    slices,
  );
};

const ZIP_WORDS = [
  'PK\x01\x02',
  'PK\x03\x04',
  'PK\x05\x06',
  'PK\x06\x06',
  'PK\x06\x07',
  '.npy',
  '../',
  '\x00\x00\xff\xff',
  '\xff\xff\xff\xff',
];

export const npz: Target = {
  ...{ name: 'npz', door: 'arrays in one .npz file, as REST takes them', form: 'bytes', words: ZIP_WORDS },
  seeds: () => [
    Buffer.from(
      writeNpz([
        { name: 'w', npy: npyOf('<f4', [2, 3], 6) },
        { name: 'b', npy: npyOf('<f8', [1], 1) },
      ]),
    ),
    zip([{ name: 'w.npy', content: npyOf('<f4', [2], 2) }]),
    zip([]),
  ],
  open: () => ({
    try: async (input) => {
      const file = fileOf(input);
      const arrays = await npzArrays(file);
      // What we pass on is each member as it lies there; that the members are arrays is the core's to say.
      const members = arrays.map(({ at, bytes }) => joined(input, file.slices(at, bytes)));
      for (const member of members) {
        try {
          readNpyHeader(member);
          await npyValueRange(member);
        } catch (caught) {
          retold(caught);
        }
      }
      return { note: `${arrays.length}`, question: { kind: 'npz', bytes: input } };
    },
  }),
};

/** Parts are pieces of the file in its order, all of one length but the last. */
const joined = (
  file: Buffer,
  slices: readonly { readonly partId: string; readonly offset: number; readonly length: number }[],
): Buffer => {
  const at = new Map<string, number>();
  for (let from = 0; from < file.byteLength; from += PART)
    at.set(
      createHash('sha256')
        .update(file.subarray(from, from + PART))
        .digest('hex'),
      from,
    );
  return Buffer.concat(
    slices.map(({ partId, offset, length }) => {
      const from = (at.get(partId) ?? 0) + offset;
      return file.subarray(from, from + length);
    }),
  );
};

const safetensorsOf = (header: object | string, data = Buffer.alloc(24)): Buffer => {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.byteLength));
  return Buffer.concat([length, text, data]);
};

export const safetensors: Target = {
  ...{ name: 'safetensors', door: 'arrays in one .safetensors file, as REST takes them', form: 'text' },
  words: [
    '"F32"',
    '"BF16"',
    '"__metadata__"',
    '"data_offsets":[0,24]',
    '[2,3]',
    '-1',
    '1e99',
    '{',
    '\\u0000',
    '"shape"',
  ],
  seeds: () => [
    safetensorsOf({ w: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] } }),
    safetensorsOf({ __metadata__: { a: 'b' }, w: { dtype: 'F64', shape: [3], data_offsets: [0, 24] } }),
    safetensorsOf({}),
  ],
  open: () => ({
    try: async (input) => {
      const file = fileOf(input);
      const arrays = await safetensorsArrays(file);
      for (const { at, bytes } of arrays) file.slices(at, bytes);
      return { note: `${arrays.length}`, question: { kind: 'safetensors', bytes: input } };
    },
  }),
};

export const bundle: Target = {
  ...{ name: 'fab', door: 'an app bundle (FAB), as flwr run uploads it', form: 'bytes' },
  words: [
    ...ZIP_WORDS,
    '[tool.flwr.app.config]',
    'publisher = ',
    'clientapp = "a.b:app"',
    '.info/CONTENT',
    'pyproject.toml',
    '"""',
  ],
  seeds: () => [fab(), fab({ config: 'lr = 0.1\n"a.b" = true\n[tool.flwr.app.config.deep]\nx = 1' })],
  open: () => ({
    try: async (input) => {
      const { facts } = await unpackBundle(input);
      return { note: `${facts.config.size}`, question: { kind: 'fab', bytes: input } };
    },
  }),
};

/** The bundle's files themselves are changed, and the rest of it made to fit: what stands in pyproject.toml is reached this way. */
export const pyproject: Target = {
  ...{ name: 'pyproject', door: 'the pyproject.toml of a whole bundle', form: 'text' },
  words: [
    '[',
    ']',
    '"',
    "'''",
    '=',
    '.',
    '[[',
    '1979-05-27',
    'inf',
    '0x',
    '\\u',
    '#',
    'tool.flwr.app',
    '{',
    'nan',
    '-9223372036854775809',
  ],
  seeds: () => [
    Buffer.from(
      '[project]\nname = "tiny"\nversion = "1.2.3"\n[tool.flwr.app]\npublisher = "aegis"\n[tool.flwr.app.components]\nserverapp = "tiny.s:app"\nclientapp = "tiny.client_app:app"\n[tool.flwr.app.config]\nlr = 0.1\nn = 3\ntext = "x"\nflag = true\n[tool.flwr.app.config.a]\nb = 1\n',
    ),
  ],
  open: () => ({
    try: async (input) => {
      const files = [
        { name: 'pyproject.toml', content: input },
        { name: 'tiny/__init__.py', content: '' },
        { name: 'tiny/client_app.py', content: 'app = ClientApp()\n' },
      ];
      const content = files
        .map(({ name, content }) => {
          const data = Buffer.from(content);
          return `${name},${createHash('sha256').update(data).digest('hex')},${data.length * 8}`;
        })
        .join('\n');
      const whole = zip([...files, { name: '.info/CONTENT', content }]);
      const { facts } = await unpackBundle(whole);
      return { note: `${facts.config.size}`, question: { kind: 'fab', bytes: whole } };
    },
  }),
};
