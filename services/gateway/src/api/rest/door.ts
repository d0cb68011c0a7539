import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AegisError } from '@aegis/errors';
import { announcedLength, readBody } from '@aegis/flower-wire';
import type { Telemetry } from '@aegis/service-kit';
import { z } from 'zod';
import type { NodeRecord } from '../../domain/node.ts';
import { authenticateRequest, restClaim } from '../../flows/authenticate-request.ts';
import type { Gateway } from '../../flows/gateway.ts';
import { demandRole, identifyOperator, stillCounts } from '../../flows/identify-operator.ts';
import type { Operators } from '../../flows/operators.ts';
import type { BodyBudget } from '../body-budget.ts';
import type { Counted } from '../counted.ts';
import type { ModelBlocks } from '../model-blocks.ts';
import { nodeLimits } from '../node/limits.ts';
import { LARGEST_BODY, sendJson, sendProblem, statusOf } from './answer.ts';
import { type RestCall, RestCalls } from './calls.ts';
import { check } from './check.ts';
import { type Endpoint, methodsAt, PREFIX, type Route, routeOf } from './endpoints.ts';
import { readJson } from './json-shape.ts';
import { readManifest } from './manifest.ts';
import { operatorCalls } from './operator-calls.ts';

const KiB = 1024;
/** Of any JSON but a manifest. */
const SMALL_BODY = 8 * KiB;
const NO_QUERY = z.strictObject({});
const NODE_ID = /^[1-9]\d{0,19}$/;
const HASH = /^[0-9a-f]{64}$/;

export interface RestParts {
  readonly gateway: Gateway;
  readonly operators: Pick<Operators, 'of'>;
  readonly telemetry: Telemetry;
  readonly counted: Counted;
  readonly budget: BodyBudget;
  readonly models: ModelBlocks;
}

/** /api/v1: plain HTTP with JSON and .npy, on the flows that Flower's doors use. */
export class RestDoor {
  readonly #parts: RestParts;
  readonly #calls: RestCalls;
  readonly #operatorCalls: ReturnType<typeof operatorCalls>;

  constructor(parts: RestParts) {
    this.#parts = parts;
    this.#calls = new RestCalls(parts);
    this.#operatorCalls = operatorCalls(parts.gateway);
  }

  /** False: it is somebody else's path, and nothing was touched. */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const [path = '', ...query] = (request.url ?? '').split('?');
    if (path !== PREFIX && !path.startsWith(`${PREFIX}/`)) return false;
    // A broken socket shows as an aborted call; nobody is left to tell.
    response.on('error', () => {});
    const gone = new AbortController();
    // 'close' also follows a finished answer.
    response.once('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    this.#serve(request, response, path, query.join('?'), gone.signal).catch((caught: unknown) =>
      this.#refuse(request, response, path, AegisError.from(caught)),
    );
    return true;
  }

  async #serve(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    queryText: string,
    signal: AbortSignal,
  ): Promise<void> {
    const route = routeOf(request.method ?? '', path);
    const { endpoint, parameters } = route;
    const bodyHash = header(request, 'x-aegis-content-sha256');
    // Before a byte of the body is read: strangers send nothing.
    let mayGoOn = (): boolean => true;
    if (endpoint.asker === 'operator') mayGoOn = await this.#identify(endpoint.operates, request);
    else this.#arrives(endpoint, request);
    const node = endpoint.asker === 'node' ? await this.#authenticate(request, bodyHash) : null;
    const query = check(endpoint.query ?? NO_QUERY, readQuery(queryText), 'query');
    if (node) await this.#calls.admit(endpoint.name, parameters, node);
    const body = await this.#bodyOf(request, response, route, {
      signedHash: node ? bodyHash : null,
      holder: node ? `node ${node.nodeId}` : '',
    });
    const call = { request, response, parameters, query, body, signal, mayGoOn };
    const answer = await this.#answer(endpoint, call, node);
    if (answer !== undefined && !response.destroyed) sendJson(response, answer);
  }

  #answer({ asker, name }: Endpoint, call: RestCall, node: NodeRecord | null): Promise<unknown> {
    if (asker === 'anybody') return this.#calls.open[name](call);
    if (asker === 'operator') return this.#operatorCalls[name](call);
    if (node === null) throw new AegisError('REST_SIGNATURE');
    return this.#calls.signed[name]({ ...call, node });
  }

  /** Resolves with whether what was let in may go on. */
  async #identify(operates: string, request: IncomingMessage): Promise<() => boolean> {
    const { gateway, operators } = this.#parts;
    const { accounts, admission } = gateway;
    const { socket, headers } = request;
    const from = { address: socket.remoteAddress ?? '', connection: socket };
    const account = await identifyOperator({ operators, accounts, admission }, headers.authorization, from);
    demandRole(account, operates);
    return () => !gateway.held.isDrained && stillCounts(operators, headers.authorization, account);
  }

  #arrives({ name, asker }: Endpoint, request: IncomingMessage): void {
    const { admission } = this.#parts.gateway;
    const { socket } = request;
    const caller = { address: socket.remoteAddress ?? '', connection: socket };
    const claimed = asker === 'node' ? header(request, 'x-aegis-node') : '';
    admission.arrives('rest', NODE_ID.test(claimed) ? { ...caller, claims: restClaim(BigInt(claimed)) } : caller);
    if (name === 'register') admission.arrives('registrations', caller);
  }

  #authenticate(request: IncomingMessage, bodyHash: string): Promise<NodeRecord> {
    const node = header(request, 'x-aegis-node');
    if (!NODE_ID.test(node) || BigInt(node) >= 2n ** 64n || !HASH.test(bodyHash)) {
      throw new AegisError('REST_SIGNATURE', 'x-aegis-node or x-aegis-content-sha256 is missing, or no such thing.');
    }
    return authenticateRequest(this.#parts.gateway, {
      nodeId: BigInt(node),
      method: request.method ?? '',
      target: request.url ?? '',
      bodyHash,
      nonce: header(request, 'x-aegis-nonce'),
      signature: header(request, 'x-aegis-signature'),
      connection: request.socket,
    });
  }

  /** `signedHash`: null where nothing was signed. */
  async #bodyOf(
    request: IncomingMessage,
    response: ServerResponse,
    { endpoint, parameters }: Route,
    { signedHash, holder }: { signedHash: string | null; holder: string | null },
  ): Promise<unknown> {
    const { body: schema } = endpoint;
    if (schema !== undefined) checkType(request, schema === 'bytes' ? 'application/octet-stream' : 'application/json');
    const lease = this.#parts.budget.open(announcedLength(request) ?? 0, holder);
    response.once('close', () => lease.release());
    const bytes = await readBody(request, limitOf(endpoint), { meter: lease });
    if (signedHash !== null && createHash('sha256').update(bytes).digest('hex') !== signedHash) {
      throw new AegisError('BODY_HASH');
    }
    if (schema === undefined) return undefined;
    if (schema !== 'bytes') {
      const value = readJson(bytes);
      return endpoint.name === 'update' ? readManifest(value) : check(schema, value, 'body');
    }
    const { sha256 } = parameters;
    if (sha256 !== signedHash) throw new AegisError('PART_HASH', 'The path names another part.');
    return bytes;
  }

  #refuse(request: IncomingMessage, response: ServerResponse, path: string, error: AegisError): void {
    if (response.destroyed || response.closed) return;
    const peer = request.socket.remoteAddress;
    this.#parts.counted.refused('rest', error, { path: path.slice(0, 100), status: statusOf(error), peer });
    // Cut off what has begun: a clean end would pass for a complete answer.
    if (response.headersSent) response.destroy();
    else sendProblem(request, response, error, error.code === 'HTTP_METHOD' ? { allow: methodsAt(path) } : {});
  }
}

const limitOf = ({ name, body }: Endpoint): number => {
  if (body === undefined) return 0;
  if (body === 'bytes') return nodeLimits.part;
  return name === 'update' ? LARGEST_BODY : SMALL_BODY;
};

const readQuery = (text: string): Record<string, string> => {
  const pairs = [...new URLSearchParams(text)];
  const query = Object.fromEntries(pairs);
  if (Object.keys(query).length === pairs.length) return query;
  throw new AegisError('REQUEST_MALFORMED', 'The query says something twice.');
};

const header = (request: IncomingMessage, name: string): string => {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
};

const checkType = (request: IncomingMessage, wanted: string): void => {
  const given = header(request, 'content-type').split(';', 1)[0]?.trim().toLowerCase();
  if (given !== wanted) throw new AegisError('MEDIA_TYPE', `It says "${given?.slice(0, 80)}", not ${wanted}.`);
};
