// Whatever comes in, every decoder either gives a value or throws an AegisError, soon.

import { AegisError } from '@aegis/errors';
import { rawField } from '@aegis/service-kit';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ControlService } from './control-service.ts';
import type { FleetHandler } from './fleet-contract.ts';
import { type CallHead, FleetService } from './fleet-service.ts';
import { fromBase64 } from './http-door.ts';
import { readMessage } from './message.ts';
import { checkTimestamp, parseTimestamp, readCredential } from './node-auth.ts';
import { decodeObjectTree } from './object-tree.ts';
import { holdChunkHeader, holdObject, readArrayBody, readNamesBody, readObject } from './objects.ts';
import { parseReply } from './parse-reply.ts';
import { readAnnouncement } from './push-messages.ts';
import { parseStringMap } from './python-json.ts';
import { type RecordedCall, readExcerpt, recordedObjects, transcriptNames } from './recorded.ts';
import { decodeConfigRecord, decodeMetricRecord } from './records.ts';
import { ScriptedControl } from './scripted-handlers.ts';

const runs = { seed: 20261121, numRuns: 2500 };
const calls = transcriptNames.flatMap((name) =>
  readExcerpt(name).map((call) => ({ ...call, control: !name.includes('fleet') })),
);
const objects = transcriptNames.flatMap((name) => [...recordedObjects(readExcerpt(name), rawField.split).values()]);

/** Runs it; anything but a result or an AegisError that is the caller's fault is a failure of the test. */
async function survives(run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (caught) {
    if (!(caught instanceof AegisError)) throw caught;
    expect(caught.entry.kind).not.toBe('internal');
  }
}

/** One way to damage bytes: flip, cut, insert, repeat, swap in a huge length. */
const damage = fc.record({
  how: fc.constantFrom('flip', 'cut', 'insert', 'repeat', 'length', 'drop'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
});
type Damage = { how: string; at: number; bytes: Uint8Array };

function damaged(original: Buffer, damages: readonly Damage[]): Buffer {
  return damages.reduce((bytes, { how, at, bytes: by }) => {
    const place = Math.floor(at * bytes.length);
    const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
    switch (how) {
      case 'flip': {
        const copy = Buffer.from(bytes);
        for (const [offset, byte] of by.entries()) copy[place + offset] = (copy[place + offset] ?? 0) ^ byte;
        return copy;
      }
      case 'cut':
        return before;
      case 'insert':
        return Buffer.concat([before, by, after]);
      case 'repeat':
        return Buffer.concat([before, after, after.subarray(0, 200)]);
      case 'length':
        return Buffer.concat([before, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), after.subarray(1)]);
      default:
        return Buffer.concat([before, after.subarray(by.length)]);
    }
  }, original);
}

const damages = fc.array(damage, { minLength: 1, maxLength: 3 });
const damagedOf = <T>(of: readonly T[], bytesOf: (item: T) => Buffer) =>
  fc.tuple(fc.nat({ max: of.length - 1 }), damages).map(([index, list]) => {
    const item = of[index] as T;
    return { item, bytes: damaged(bytesOf(item), list) };
  });

const head: CallHead = {
  dialect: 'http',
  connection: {},
  peer: '192.0.2.7',
  signal: new AbortController().signal,
  text: () => '2026-11-21T20:30:41+00:00',
  binary: () => Buffer.from('x'),
};

const anything = new Proxy({} as FleetHandler, {
  get: (_target, name) => async () => {
    if (name === 'pullTask') return null;
    if (name === 'run') throw new AegisError('RUN_NOT_ACTIVE');
    if (name === 'fab') return { hash: '', content: Buffer.alloc(0), verifications: new Map() };
    if (name === 'pullObject') return { state: 'unknown' };
    if (name === 'announce') return { wanted: [], session: '' };
    return name === 'heartbeat' || name === 'pushObject' ? true : 1n;
  },
});

describe('damaged requests', () => {
  const fleet = new FleetService(anything);
  const control = new ControlService(new ScriptedControl(), { now: () => 0 });
  type Call = RecordedCall & { control: boolean };
  const serve = (call: Call, bytes: Buffer) =>
    survives(() => (call.control ? control : fleet).call(call.method, bytes, head));

  for (const [name, wanted] of [
    ['Fleet', (call: Call) => !call.control && call.method !== 'push-messages'],
    ['Control', (call: Call) => call.control],
    ['push-messages', (call: Call) => call.method === 'push-messages'],
  ] as const) {
    const some = calls.filter(wanted);
    it(`${name}: made from real ones`, async () => {
      const cases = damagedOf(some, (call) => call.request);
      await fc.assert(
        fc.asyncProperty(cases, ({ item, bytes }) => serve(item, bytes)),
        runs,
      );
    });
    it(`${name}: made of random bytes`, async () => {
      const methods = [...new Map(some.map((call) => [call.method, call])).values()];
      const cases = fc.tuple(fc.constantFrom(...methods), fc.uint8Array({ maxLength: 400 }));
      await fc.assert(
        fc.asyncProperty(cases, ([call, bytes]) => serve(call, Buffer.from(bytes))),
        runs,
      );
    });
  }
});

describe('damaged objects', () => {
  it('of every type', async () => {
    const cases = damagedOf(objects, (bytes) => bytes);
    await fc.assert(
      fc.asyncProperty(cases, async ({ bytes }) => {
        await survives(() => readObject(bytes));
        await survives(() => holdObject(bytes));
        await survives(() => holdChunkHeader(bytes));
      }),
      runs,
    );
  });

  it('with a whole layout and a damaged body', async () => {
    const whole = objects.map((bytes) => readObject(bytes));
    const cases = damagedOf(whole, ({ body }) => body);
    await fc.assert(
      fc.asyncProperty(cases, async ({ item, bytes }) => {
        const { type, children } = item;
        if (type === 'Array') await survives(() => readArrayBody(bytes, children));
        else if (type === 'ArrayRecord' || type === 'RecordDict') await survives(() => readNamesBody(bytes, children));
        else if (type === 'ConfigRecord') await survives(() => decodeConfigRecord(bytes));
        else if (type === 'MetricRecord') await survives(() => decodeMetricRecord(bytes));
        else await survives(() => readMessage(bytes));
      }),
      { ...runs, numRuns: 6000 },
    );
  });

  it('in a whole reply', async () => {
    const layout = {
      dialect: 'message',
      arrayRecordKey: 'arrays',
      configRecordKey: '',
      weightedByKey: 'num-examples',
    } as const;
    const all = readExcerpt('fedavg.fleet');
    const held = new Map([...recordedObjects(all, rawField.split)].map(([id, bytes]) => [id, holdObject(bytes)]));
    const replies = all
      .filter(({ method }) => method === 'push-messages')
      .map(({ request }) => readAnnouncement(request));
    const ids = [...held.keys()];
    const cases = fc.tuple(fc.nat({ max: replies.length - 1 }), fc.nat({ max: ids.length - 1 }), damages);
    await fc.assert(
      fc.asyncProperty(cases, async ([reply, broken, list]) => {
        const objectsNow = new Map(held);
        const object = held.get(ids[broken] ?? '');
        if (object?.body) objectsNow.set(ids[broken] ?? '', { ...object, body: damaged(object.body, list) });
        else objectsNow.delete(ids[broken] ?? '');
        const announced = replies[reply] ?? expect.fail('no reply');
        const kind = announced.reply.type === 'evaluate' ? 'evaluate' : 'train';
        await survives(() =>
          parseReply(announced.reply, announced.tree, objectsNow, { kind, layout, tensorNames: [] }),
        );
      }),
      runs,
    );
  });
});

describe('damaged texts', () => {
  it('trees, announcements and messages of random bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        for (const decode of [
          decodeObjectTree,
          readAnnouncement,
          readMessage,
          decodeConfigRecord,
          decodeMetricRecord,
        ]) {
          await survives(() => decode(bytes));
        }
      }),
      runs,
    );
  });

  it('headers', async () => {
    const text = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
    );
    await fc.assert(
      fc.asyncProperty(text, text, text, async (key, timestamp, signature) => {
        const given: Record<string, string> = { 'flwr-public-key': key, 'flwr-signature': signature };
        await survives(() =>
          readCredential({ ...head, text: () => timestamp, binary: (name) => fromBase64(given[name] ?? '') }),
        );
        await survives(() => checkTimestamp(timestamp, 0));
        parseTimestamp(timestamp);
      }),
      runs,
    );
  });

  it('names in JSON', async () => {
    const json = fc.oneof(
      fc.string(),
      fc.json(),
      fc.dictionary(fc.string(), fc.string()).map((map) => JSON.stringify(map)),
    );
    await fc.assert(
      fc.asyncProperty(json, (text) => survives(() => parseStringMap(text))),
      runs,
    );
    await fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), (map) => {
        expect(Object.fromEntries(parseStringMap(JSON.stringify(map)))).toEqual({ ...map });
      }),
      runs,
    );
  });
});
