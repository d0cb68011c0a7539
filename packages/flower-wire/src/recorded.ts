// Vectors and recorded conversations for tests. The small excerpts are always there; the whole recordings of the
// conformance kit are replayed too where the kit lies beside the repository.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');
const vectors = join(root, 'tests/vectors');
const kit = join(root, '../shared/flower/transcripts');

// biome-ignore lint/suspicious/noExplicitAny: each vector file describes its own form
export const readVectors = (name: string): any => JSON.parse(readFileSync(join(vectors, name), 'utf8'));

export interface RecordedCall {
  seq: number;
  path: string;
  /** Kebab-case, in every dialect. */
  method: string;
  status: number | string;
  request: Buffer;
  response: Buffer;
  stream: boolean;
}

/** The calls of one conversation that were recorded whole. */
export function readTranscript(name: string): RecordedCall[] {
  const whole = join(kit, `${name}.jsonl`);
  const file = existsSync(whole) ? whole : join(vectors, 'flower/transcripts', `${name}.jsonl`);
  return readCalls(file);
}

export const readExcerpt = (name: string): RecordedCall[] =>
  readCalls(join(vectors, 'flower/transcripts', `${name}.jsonl`));

function readCalls(file: string): RecordedCall[] {
  const calls: RecordedCall[] = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line === '') continue;
    const record = JSON.parse(line);
    if (record.path === undefined) continue;
    // Hexadecimal is cut at 10,000 bytes in the kit.
    if (Math.max(record.req_len ?? 0, record.resp_len ?? 0) > 10_000) continue;
    calls.push({
      seq: record.seq,
      path: record.path,
      method: kebab(record.path.split('/').at(-1)),
      status: record.status,
      request: Buffer.from(record.req_hex ?? '', 'hex'),
      response: Buffer.from(record.resp_hex ?? '', 'hex'),
      stream: record.stream === true,
    });
  }
  return calls;
}

const kebab = (name: string): string => name.replace(/(?<!^)(?=[A-Z])/g, '-').toLowerCase();

export const transcriptNames = [
  'fedavg.fleet',
  'legacy.fleet',
  'v122.fleet-grpc',
  'fedavg.control',
  'tls.fleet',
  'tls.control',
  'v122.control-grpc',
] as const;

/** Every object that was pulled or pushed, by id, in order. */
export function recordedObjects(calls: readonly RecordedCall[], split: SplitField): Map<string, Buffer> {
  const objects = new Map<string, Buffer>();
  for (const call of calls) {
    if (call.method === 'pull-object') {
      const content = split(call.response, 3).body;
      if (content.length > 0) objects.set(objectIdIn(call.request), content);
    } else if (call.method === 'push-object') objects.set(objectIdIn(call.request), split(call.request, 4).body);
  }
  return objects;
}

type SplitField = (message: Buffer, field: number) => { body: Buffer };

/** Field 3 of both object requests: tag 1a, length 40. */
function objectIdIn(request: Buffer): string {
  const at = request.indexOf(Buffer.from([0x1a, 0x40]));
  return request.toString('latin1', at + 2, at + 66);
}
