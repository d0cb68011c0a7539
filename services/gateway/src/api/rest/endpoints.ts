import { AegisError } from '@aegis/errors';
import type { z } from 'zod';
import * as schemas from './schemas.ts';

export const PREFIX = '/api/v1';

export type EndpointName =
  | 'nonce'
  | 'register'
  | 'tasks'
  | 'model'
  | 'part'
  | 'update'
  | 'fail'
  | 'stats'
  | 'consents'
  | 'consent'
  | 'openapi';

export interface Endpoint {
  readonly name: EndpointName;
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Below /api/v1, as in OpenAPI. */
  readonly path: string;
  readonly summary: string;
  readonly isSigned: boolean;
  readonly query?: z.ZodObject;
  /** Of a JSON body; `bytes`: as it is. */
  readonly body?: z.ZodType | 'bytes';
  readonly answer: z.ZodType | 'npz' | 'any';
}

/** All there is. Anything else below /api/v1 is METHOD_UNKNOWN. */
export const endpoints: readonly Endpoint[] = [
  {
    name: 'nonce',
    method: 'GET',
    path: '/nonce',
    summary: 'A nonce to sign one request with.',
    isSigned: false,
    answer: schemas.nonceAnswer,
  },
  {
    name: 'register',
    method: 'POST',
    path: '/register',
    summary: 'Makes a new node and tells its secret, once.',
    isSigned: false,
    body: schemas.registration,
    answer: schemas.registered,
  },
  {
    name: 'tasks',
    method: 'GET',
    path: '/tasks',
    summary: 'The oldest task the node owes an answer to, or null. The same again until it is answered.',
    isSigned: true,
    query: schemas.waiting,
    answer: schemas.taskAnswer,
  },
  {
    name: 'model',
    method: 'GET',
    path: '/model',
    summary: 'The model of a task, as numpy.load reads it. Ranges and If-None-Match work.',
    isSigned: true,
    query: schemas.modelQuery,
    answer: 'npz',
  },
  {
    name: 'update',
    method: 'POST',
    path: '/updates/{task}',
    summary: 'Says what the answer is made of: announces it, and hands it in once all of its parts are here.',
    isSigned: true,
    body: schemas.manifest,
    answer: schemas.updateAnswer,
  },
  {
    name: 'part',
    method: 'PUT',
    path: '/updates/{task}/parts/{sha256}',
    summary: 'Stores one announced part of an answer, durably.',
    isSigned: true,
    body: 'bytes',
    answer: schemas.partAnswer,
  },
  {
    name: 'fail',
    method: 'POST',
    path: '/tasks/{task}/fail',
    summary: 'The task will have no answer of this node.',
    isSigned: true,
    body: schemas.failure,
    answer: schemas.failed,
  },
  {
    name: 'stats',
    method: 'GET',
    path: '/stats',
    summary: 'How the runs go that the node takes part in.',
    isSigned: true,
    answer: schemas.stats,
  },
  {
    name: 'consents',
    method: 'GET',
    path: '/consent',
    summary: 'What the node said it consents to, newest first.',
    isSigned: true,
    answer: schemas.consents,
  },
  {
    name: 'consent',
    method: 'PUT',
    path: '/consent',
    summary: 'Gives or withdraws consent to a purpose, or to a single run. Counts from the next selection on.',
    isSigned: true,
    body: schemas.consentStatement,
    answer: schemas.consents,
  },
  {
    name: 'openapi',
    method: 'GET',
    path: '/openapi.json',
    summary: 'This document.',
    isSigned: false,
    answer: 'any',
  },
];

export interface Route {
  readonly endpoint: Endpoint;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Throws METHOD_UNKNOWN when there is no such path, HTTP_METHOD when it is no path for this method. `path`: without its query. */
export const routeOf = (method: string, path: string): Route => {
  const found = endpoints.flatMap((endpoint): Route[] => {
    const parameters = parametersIn(PREFIX + endpoint.path, path);
    return parameters ? [{ endpoint, parameters }] : [];
  });
  const route = found.find(({ endpoint }) => endpoint.method === method);
  if (route) return route;
  if (found.length === 0) throw new AegisError('METHOD_UNKNOWN', `${method} ${path.slice(0, 100)}`);
  throw new AegisError('HTTP_METHOD', `It takes ${methodsAt(path)}.`);
};

/** As `Allow` has it; empty: nothing is there. */
export const methodsAt = (path: string): string =>
  endpoints
    .filter((endpoint) => parametersIn(PREFIX + endpoint.path, path))
    .map(({ method }) => method)
    .join(', ');

const parametersIn = (template: string, path: string): Record<string, string> | null => {
  const wanted = template.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return null;
  const parameters: Record<string, string> = {};
  for (const [at, piece] of wanted.entries()) {
    const value = given[at] ?? '';
    if (piece.startsWith('{')) parameters[piece.slice(1, -1)] = value;
    else if (piece !== value) return null;
  }
  return parameters;
};
