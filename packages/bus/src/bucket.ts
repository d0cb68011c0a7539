import { AegisError } from '@aegis/errors';
import type { Telemetry } from '@aegis/service-kit';
import { StorageType } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { headers } from '@nats-io/transport-node';
import { SpanKind } from '@opentelemetry/api';
import { type BucketName, type BucketOptions, buckets } from './buckets.ts';
import { type Bucket, type BucketEntry, BusConflict, type KeyedEntry } from './contract.ts';
import { durableWrite, isWrongRevision } from './durable-write.ts';
import type { Link } from './link.ts';
import { bufferOf, isTombstone, operationHeader, watchBucket } from './watch.ts';

// Deleted keys leave a marker for watchers; this long after, nobody needs to hear of it.
const markerTtlMs = 3_600_000;
const markerTtl = '1h';

/** Opens a KV bucket in NATS's own layout (`nats kv` reads it), with writes that survive an outage. */
export const openBucket = async (
  link: Link,
  name: BucketName,
  replicas: number,
  telemetry: Telemetry,
): Promise<Bucket> => {
  const stream = `KV_${name}`;
  const subjectPrefix = `$KV.${name}.`;
  const options: BucketOptions = buckets[name];
  await link.call(`bucket ${name}`, () =>
    new Kvm(link.jetstream).create(name, {
      description: options.description,
      history: 1,
      ttl: options.ttlMs,
      maxValueSize: options.maxValueBytes,
      storage: StorageType.File,
      replicas,
      // Values of several MB do not fit into the JSON answer of the other way to read.
      allow_direct: true,
      markerTTL: markerTtlMs,
    }),
  );

  const read = (key: string) =>
    link.call(`reading ${name}/${key}`, () =>
      link.manager.direct.getMessage(stream, { last_by_subj: subjectPrefix + checked(key) }),
    );

  const write = (verb: string, key: string, value: Uint8Array, expected?: number, deletes = false): Promise<number> => {
    const what = `${verb} ${name}/${checked(key)}`;
    if (value.byteLength > options.maxValueBytes) {
      throw new AegisError(
        'BODY_TOO_LARGE',
        `${what}: ${value.byteLength} bytes; at most ${options.maxValueBytes} fit.`,
      );
    }
    const send = () =>
      durableWrite(link, what, {
        stream,
        subject: subjectPrefix + key,
        payload: value,
        expected,
        ...(deletes && { headers: deletionHeaders() }),
      }).catch((error: unknown) => {
        throw isWrongRevision(error) ? new BusConflict(name, key, error) : error;
      });
    // Only as part of a trace: writes outside of one would each start their own.
    return telemetry.traceparent() === undefined
      ? send()
      : telemetry.inSpan(`bus ${verb} ${name}`, { kind: SpanKind.PRODUCER, attributes: { 'aegis.key': key } }, send);
  };

  const create = async (key: string, value: Uint8Array): Promise<number> => {
    try {
      return await write('create', key, value, 0);
    } catch (error) {
      if (!(error instanceof BusConflict)) throw error;
      // A deletion marker counts as a value for the server; create over exactly that marker.
      const marker = await read(key);
      if (marker !== null && !isTombstone(marker.header)) throw error;
      return await write('create', key, value, marker?.seq ?? 0);
    }
  };

  return {
    get: async (key): Promise<BucketEntry | null> => {
      const message = await read(key);
      if (message === null || isTombstone(message.header)) return null;
      return { value: bufferOf(message.data), revision: message.seq };
    },
    create,
    createOnce: (key, value) => write('create', key, value, 0),
    put: async (key, value) => write('put', key, value),
    update: async (key, value, revision) => write('update', key, value, revision),
    delete: async (key, revision) => {
      await write('delete', key, new Uint8Array(), revision, true);
    },
    entries: async function* (prefix): AsyncGenerator<KeyedEntry, void, undefined> {
      // Collected first: an outage in the middle would otherwise show a key twice, or one that is gone.
      const found = new Map<string, KeyedEntry>();
      const stop = new AbortController();
      for await (const item of watchBucket(link, name, prefix, stop.signal, { bounded: true })) {
        if (item.type === 'complete') break;
        if (item.value === null) found.delete(item.key);
        else found.set(item.key, { key: item.key, value: item.value, revision: item.revision });
      }
      stop.abort();
      yield* found.values();
    },
    watch: (prefix, signal) => watchBucket(link, name, prefix, signal, { bounded: false }),
  };
};

const deletionHeaders = () => {
  const marked = headers();
  marked.set(operationHeader, 'DEL');
  marked.set('Nats-TTL', markerTtl);
  return marked;
};

const keyForm = /^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$/;
const checked = (key: string): string => {
  if (!keyForm.test(key)) throw new AegisError('INTERNAL', '', new Error(`not a bucket key: ${JSON.stringify(key)}`));
  return key;
};
