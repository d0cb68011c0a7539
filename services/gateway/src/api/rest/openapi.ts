import { z } from 'zod';
import { nodeLimits } from '../node/limits.ts';
import { type Endpoint, endpoints, PREFIX } from './endpoints.ts';
import * as schemas from './schemas.ts';

const json = (schema: z.ZodType, io: 'input' | 'output') => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  return rest;
};

const signature = ['x-aegis-node', 'x-aegis-nonce', 'x-aegis-content-sha256', 'x-aegis-signature'];
const parameter = { task: schemas.taskId, run: schemas.uint64, sha256: z.string().regex(/^[0-9a-f]{64}$/) };

const EVENTS = 'Events with one line of JSON as their data each, as x-data has it.';

const contentOf = (endpoint: Endpoint) => {
  const { answer } = endpoint;
  if (answer === 'npz') return { 'application/zip': { schema: { type: 'string', format: 'binary' } } };
  if (typeof answer === 'object' && 'events' in answer)
    return {
      'text/event-stream': { schema: { type: 'string', description: EVENTS }, 'x-data': json(answer.events, 'output') },
    };
  return { 'application/json': { schema: answer === 'any' ? { type: 'object' } : json(answer, 'output') } };
};

const operationOf = (endpoint: Endpoint) => {
  const { name, summary, asker, path, query, body } = endpoint;
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, key = '']) => ({
    name: key,
    in: 'path',
    required: true,
    schema: json(parameter[key as keyof typeof parameter], 'input'),
  }));
  const inQuery = Object.entries(query?.shape ?? {}).map(([key, schema]) => ({
    name: key,
    in: 'query',
    required: !(schema as z.ZodType).safeParse(undefined).success,
    // What a text stands for: they all are texts.
    schema: json(schema as z.ZodType, 'output'),
  }));
  const content =
    body === 'bytes'
      ? { 'application/octet-stream': { schema: { type: 'string', format: 'binary', maxLength: nodeLimits.part } } }
      : body && { 'application/json': { schema: json(body, 'input') } };
  return {
    operationId: name,
    summary,
    ...(asker === 'node' && { security: [Object.fromEntries(signature.map((header) => [header, []]))] }),
    ...(asker === 'operator' && { security: [{ operator: [] }] }),
    ...(inPath.length + inQuery.length > 0 && { parameters: [...inPath, ...inQuery] }),
    ...(content && { requestBody: { required: true, content } }),
    responses: {
      200: { description: 'Done.', content: contentOf(endpoint) },
      ...(name === 'model' && {
        206: { description: 'The range that was asked for.', content: contentOf(endpoint) },
        304: { description: 'The model is the one of If-None-Match.' },
        416: { description: 'There is no such range.' },
      }),
      default: {
        description: 'Refused.',
        content: { 'application/problem+json': { schema: json(schemas.problem, 'output') } },
      },
    },
  };
};

/** OpenAPI 3.1 of everything below /api/v1, as docs/openapi.json has it. */
export const openApi = (): object => {
  const paths: Record<string, Record<string, object>> = {};
  for (const endpoint of endpoints) {
    const path = PREFIX + endpoint.path;
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operationOf(endpoint) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Aegis REST',
      version: '1',
      description: 'Federated learning with plain HTTP. How requests are signed: docs/rest.md.',
    },
    paths,
    components: {
      securitySchemes: {
        ...Object.fromEntries(signature.map((name) => [name, { type: 'apiKey', in: 'header', name }])),
        operator: { type: 'http', scheme: 'bearer', description: "An operator's token, or an account's ID token." },
      },
    },
  };
};
