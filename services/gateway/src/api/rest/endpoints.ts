import { AegisError } from '@aegis/errors';
import type { z } from 'zod';
import * as schemas from './schemas.ts';

export const PREFIX = '/api/v1';

export type OpenEndpoint = 'nonce' | 'register' | 'openapi';
export type NodeEndpoint =
  | 'tasks'
  | 'task-events'
  | 'model'
  | 'part'
  | 'update'
  | 'fail'
  | 'stats'
  | 'consents'
  | 'consent';
export type OperatorEndpoint = 'runs' | 'run-events' | 'nodes' | 'budgets';
export type EndpointName = OpenEndpoint | NodeEndpoint | OperatorEndpoint;

/** Who asks: `anybody`; a `node`, by its signature; an `operator`, by a bearer token that may call this method of the operator's door. */
type Asker =
  | { readonly asker: 'anybody'; readonly name: OpenEndpoint }
  | { readonly asker: 'node'; readonly name: NodeEndpoint }
  | { readonly asker: 'operator'; readonly name: OperatorEndpoint; readonly operates: string };

export type Endpoint = Asker & {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Below /api/v1, as in OpenAPI. */
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodObject;
  /** Of a JSON body; `bytes`: as it is. */
  readonly body?: z.ZodType | 'bytes';
  readonly answer: z.ZodType | 'npz' | 'any' | { readonly events: z.ZodType };
};

/** All there is. Anything else below /api/v1 is METHOD_UNKNOWN. */
export const endpoints: readonly Endpoint[] = [
  {
    name: 'nonce',
    method: 'GET',
    path: '/nonce',
    summary: 'A nonce to sign one request with.',
    asker: 'anybody',
    answer: schemas.nonceAnswer,
  },
  {
    name: 'register',
    method: 'POST',
    path: '/register',
    summary: 'Makes a new node and tells its secret, once.',
    asker: 'anybody',
    body: schemas.registration,
    answer: schemas.registered,
  },
  {
    name: 'tasks',
    method: 'GET',
    path: '/tasks',
    summary: 'The oldest task the node owes an answer to, or null. The same again until it is answered.',
    asker: 'node',
    query: schemas.waiting,
    answer: schemas.taskAnswer,
  },
  {
    name: 'task-events',
    method: 'GET',
    path: '/tasks/events',
    summary: 'Server-sent events: every task the moment it is there, and every task that is no longer to be done.',
    asker: 'node',
    answer: { events: schemas.taskEvent },
  },
  {
    name: 'model',
    method: 'GET',
    path: '/model',
    summary: 'The model of a task, as numpy.load reads it. Ranges and If-None-Match work.',
    asker: 'node',
    query: schemas.modelQuery,
    answer: 'npz',
  },
  {
    name: 'update',
    method: 'POST',
    path: '/updates/{task}',
    summary: 'Says what the answer is made of: announces it, and hands it in once all of its parts are here.',
    asker: 'node',
    body: schemas.manifest,
    answer: schemas.updateAnswer,
  },
  {
    name: 'part',
    method: 'PUT',
    path: '/updates/{task}/parts/{sha256}',
    summary: 'Stores one announced part of an answer, durably.',
    asker: 'node',
    body: 'bytes',
    answer: schemas.partAnswer,
  },
  {
    name: 'fail',
    method: 'POST',
    path: '/tasks/{task}/fail',
    summary: 'The task will have no answer of this node.',
    asker: 'node',
    body: schemas.failure,
    answer: schemas.failed,
  },
  {
    name: 'stats',
    method: 'GET',
    path: '/stats',
    summary: 'How the runs go that the node takes part in.',
    asker: 'node',
    answer: schemas.stats,
  },
  {
    name: 'consents',
    method: 'GET',
    path: '/consent',
    summary: 'What the node said it consents to, newest first.',
    asker: 'node',
    answer: schemas.consents,
  },
  {
    name: 'consent',
    method: 'PUT',
    path: '/consent',
    summary: 'Gives or withdraws consent to a purpose, or to a single run. Counts from the next selection on.',
    asker: 'node',
    body: schemas.consentStatement,
    answer: schemas.consents,
  },
  {
    name: 'runs',
    method: 'GET',
    path: '/runs',
    summary: 'All runs, newest first.',
    asker: 'operator',
    operates: 'listRuns',
    query: schemas.page,
    answer: schemas.runs,
  },
  {
    name: 'run-events',
    method: 'GET',
    path: '/runs/{run}/events',
    summary: 'Server-sent events: how the run stands, now and after every change, until it is over.',
    asker: 'operator',
    operates: 'watchRun',
    answer: { events: schemas.runEvent },
  },
  {
    name: 'nodes',
    method: 'GET',
    path: '/nodes',
    summary: 'All nodes that are known.',
    asker: 'operator',
    operates: 'listNodes',
    answer: schemas.nodes,
  },
  {
    name: 'budgets',
    method: 'GET',
    path: '/budgets',
    summary: 'Privacy budgets of runs and data sets: what may be spent, and what is.',
    asker: 'operator',
    operates: 'listBudgets',
    query: schemas.budgetQuery,
    answer: schemas.budgets,
  },
  {
    name: 'openapi',
    method: 'GET',
    path: '/openapi.json',
    summary: 'This document.',
    asker: 'anybody',
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
