// What is Aegis's own at the edge: frames of aegis.node.v1, REST's JSON, invitations and tokens, certificate requests, the owner's policy.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClientFrame } from '@aegis/contracts/aegis/node/v1/node';
import { createSigningRequest, parseConfig, readSigningRequest, Secret, silentLogger } from '@aegis/service-kit';
import { policyFile } from '../../../agents/guard/src/config.ts';
import { readFrame } from '../../../services/gateway/src/api/node/frames.ts';
import { check } from '../../../services/gateway/src/api/rest/check.ts';
import { endpoints, routeOf } from '../../../services/gateway/src/api/rest/endpoints.ts';
import { readJson } from '../../../services/gateway/src/api/rest/json-shape.ts';
import { readManifest } from '../../../services/gateway/src/api/rest/manifest.ts';
import { inviteNode, takeInvitation } from '../../../services/gateway/src/flows/invitations.ts';
import { Operators } from '../../../services/gateway/src/flows/operators.ts';
import { memoryGateway } from '../../../services/gateway/src/testing/memory-gateway.ts';
import { cutAnswer, weightOf } from '../../../services/gateway/src/testing/native-node.ts';
import type { Target } from '../target.ts';

const frame = (said: ClientFrame['frame'], content = Buffer.alloc(0)): Buffer =>
  Buffer.from(ClientFrame.encode({ frame: said, content }).finish());

export const nodeFrames: Target = {
  ...{
    name: 'node-frames',
    door: 'frames of aegis.node.v1',
    form: 'protobuf',
    words: ['t', 'a'.repeat(64), '\xff\xff'],
  },
  seeds: () => {
    const { submit } = cutAnswer('t', { tensors: { w: Buffer.alloc(300, 1) }, metrics: [weightOf(3)] });
    return [
      frame(submit),
      frame({ $case: 'heartbeat', value: {} }),
      frame({ $case: 'part', value: { taskId: 't', partId: 'p' } }, Buffer.from('content')),
      frame({ $case: 'taskAccepted', value: { taskId: 't' } }),
      frame({ $case: 'readModel', value: { requestId: 1n, taskId: 't', offset: 0n, length: 9n } }),
      frame({
        $case: 'hello',
        value: {
          ...{ protocol: 1, client: 'test/1', publicKey: Buffer.from('pem'), signature: Buffer.from('s') },
          ...{ runsApps: false, canMask: true, invitation: '' },
        },
      }),
    ];
  },
  open: () => ({
    try: (input) => ({ note: readFrame(input).said.$case }),
  }),
};

const REST = endpoints.flatMap(({ name, body }) => (body === undefined || body === 'bytes' ? [] : [{ name, body }]));

export const restJson: Target = {
  ...{ name: 'rest-json', door: 'JSON of /api/v1', form: 'text', keep: 1 },
  words: [
    '"tensors":[',
    '"slices":[',
    '{"sha256":"',
    '"numExamples":1e999',
    '__proto__',
    '\\ud83d',
    '1E400',
    '-0',
    'null',
    ']}',
    '"'.repeat(9),
  ],
  seeds: () => {
    const hash = 'a'.repeat(64);
    const bodies = [
      {
        tensors: [{ name: 'w', slices: [{ sha256: hash, offset: 0, length: 8 }] }],
        numExamples: 3,
        metrics: { loss: 0.5 },
      },
      { file: { format: 'npz', slices: [{ sha256: hash, length: 8 }] }, numExamples: 1 },
      { name: 'ada', heartbeatSeconds: 60, claim: 'c'.repeat(22) },
      { reason: 'disk full' },
    ];
    return bodies.flatMap((body) =>
      REST.map((_one, index) => Buffer.concat([Buffer.from([index]), Buffer.from(JSON.stringify(body))])),
    );
  },
  open: () => ({
    try: (input) => {
      const { name, body } = REST[(input[0] ?? 0) % REST.length] as (typeof REST)[number];
      const bytes = input.subarray(1);
      const value = readJson(bytes);
      if (name === 'update') readManifest(value);
      else check(body, value, 'body');
      return { note: name, question: { kind: 'json', bytes } };
    },
  }),
};

export const restPaths: Target = {
  ...{ name: 'rest-paths', door: 'paths and queries of /api/v1', form: 'text' },
  words: ['/api/v1', '/tasks', '?wait=', '%2e%2e', '%', '/updates/', '/parts/', '&', '=', '25.001', '\x00', '//'],
  seeds: () => [
    Buffer.from('GET /api/v1/tasks?wait=5'),
    Buffer.from('GET /api/v1/model?task=01&format=npz'),
    Buffer.from(`PUT /api/v1/updates/01/parts/${'a'.repeat(64)}`),
    Buffer.from('POST /api/v1/updates/01'),
  ],
  open: () => ({
    try: (input) => {
      const [method = '', target = ''] = input.toString('latin1').split(' ', 2);
      const [path = '', query = ''] = target.split('?', 2);
      const { endpoint } = routeOf(method, path);
      if (endpoint.query) check(endpoint.query, Object.fromEntries(new URLSearchParams(query)), 'query');
      return { note: endpoint.name };
    },
  }),
};

export const tokens: Target = {
  ...{
    name: 'tokens',
    door: 'invitations and operator tokens',
    form: 'text',
    words: ['aegis-invite-', 'A'.repeat(43), '-', '_', '\x00', '='],
  },
  seeds: () => [Buffer.from(`aegis-invite-${'A'.repeat(43)}`), Buffer.from('operator-token-of-the-fuzz')],
  open: async () => {
    const { gateway } = await memoryGateway();
    const operators = new Operators(
      { token: new Secret('operator-token-of-the-test'), file: undefined },
      gateway.clock,
      silentLogger,
    );
    const { token } = await inviteNode(gateway, { name: 'ada', seconds: 3_600 });
    return {
      try: async (input) => {
        const text = input.toString('utf8');
        if (operators.of(text) !== null) throw new Error('a made-up token is an operator');
        await takeInvitation(gateway, text, 'holder');
        throw new Error('a made-up invitation was taken');
      },
      honest: async () => void (await takeInvitation(gateway, token, 'ada')),
    };
  },
};

export const signingRequests: Target = {
  ...{
    name: 'csr',
    door: 'certificate requests',
    form: 'bytes',
    words: ['\x30\x82', '\x02\x01\x00', '\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07', '\x30\x80', '\x03\x42\x00\x04'],
  },
  seeds: async () => {
    const keys = [0, 1].map(() => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey);
    return Promise.all(
      keys.map((key) => createSigningRequest(key.export({ type: 'pkcs8', format: 'pem' }).toString())),
    );
  },
  open: () => ({
    try: async (input) => {
      await readSigningRequest(input);
      return { question: { kind: 'csr', bytes: input } };
    },
  }),
};

export const policies: Target = {
  ...{ name: 'guard-policy', door: "the data owner's policy file", form: 'text' },
  words: [
    'apps: ',
    '- ',
    '*x',
    '&x',
    '<<: ',
    '!!js/function',
    '!!binary ',
    '.inf',
    '.nan',
    '~',
    '? ',
    '| ',
    '>-',
    '"',
    '{',
    'masking: ',
    'local-noise: ',
    '\t',
    '---',
    '%YAML',
  ],
  seeds: () => [
    readFileSync(join(import.meta.dirname, '../../../agents/guard/policy.example.yaml')),
    Buffer.from(
      'apps: [aegis/digits]\nmetrics: [{ name: accuracy, min: 0, max: 1 }]\nmasking: { cohort: 4, survivors: 3 }\n',
    ),
  ],
  open: () => ({
    try: (input) => {
      const { apps } = parseConfig(input.toString('utf8'), policyFile, 'policy.yaml');
      return { note: `${apps.length}` };
    },
  }),
};
