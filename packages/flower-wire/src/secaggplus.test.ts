// What recorded nodes and Flower's own server said to each other under SecAgg+ (tests/vectors/flower/secagg_runs.json).
import type { AegisError } from '@aegis/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readVectors } from './recorded.ts';
import { type ConfigEntry, decodeConfigRecord, encodeConfigRecord, type Scalar } from './records.ts';
import { readSecaggplusAnswer, type SecaggplusRequest, type SecaggplusStage, secaggplusEntries } from './secaggplus.ts';

const STAGES = ['setup', 'share_keys', 'collect_masked_vectors', 'unmask'] as const;

interface Said {
  request: string;
  answer?: string;
}
const runs: { nodes: Record<string, Record<SecaggplusStage, Said>> }[] = readVectors('flower/secagg_runs.json').runs;
const said = (stage: SecaggplusStage): Said[] =>
  runs.flatMap(({ nodes }) => Object.values(nodes).flatMap((stages) => stages[stage] ?? []));
const entriesOf = (hex: string): ConfigEntry[] => decodeConfigRecord(Buffer.from(hex, 'hex'));
const answers = (stage: SecaggplusStage) =>
  said(stage).flatMap(({ answer }) => (answer === undefined ? [] : [readSecaggplusAnswer(stage, entriesOf(answer))]));

/** A request as we would hold it, of the record that Flower sent. */
function requestOf(stage: SecaggplusStage, entries: ConfigEntry[]): SecaggplusRequest {
  const value = (key: string) => entries.find((entry) => entry.key === key)?.value.value;
  const list = (key: string) => [...(value(key) as never[])] as never[];
  switch (stage) {
    case 'setup':
      return {
        stage,
        sampleNum: Number(value('sample_num')),
        shareNum: Number(value('share_num')),
        threshold: Number(value('threshold')),
        clippingRange: Number(value('clipping_range')),
        targetRange: Number(value('target_range')),
        modRange: Number(value('mod_range')),
        maxWeight: Number(value('max_weight')),
      };
    case 'share_keys': {
      const keys = entries.filter(({ key }) => key !== 'stage');
      return {
        stage,
        keys: keys.map(({ key, value: { value: pair } }) => {
          const [pk1, pk2] = pair as [Buffer, Buffer];
          return { node: BigInt(key), pk1, pk2 };
        }),
      };
    }
    case 'collect_masked_vectors': {
      const ciphertexts = list('ctxts');
      return { stage, sealed: list('srcs').map((from, at) => ({ from, ciphertext: ciphertexts[at] as never })) };
    }
    case 'unmask':
      return { stage, active: list('active_nids'), dead: list('dead_nids') };
  }
}

describe('the record of SecAgg+', () => {
  it.each(['share_keys', 'collect_masked_vectors', 'unmask'] as const)('of %s is written as Flower does', (stage) => {
    const requests = said(stage);
    expect(requests.length).toBeGreaterThan(6);
    for (const { request } of requests) {
      const entries = secaggplusEntries(requestOf(stage, entriesOf(request)));
      // the order of the keys is that of Python's sets and dictionaries; the mod looks them up
      const byKey = (list: ConfigEntry[]) => list.toSorted((one, other) => (one.key < other.key ? -1 : 1));
      const body = encodeConfigRecord(byKey(entries)).toString('hex');
      expect(body).toBe(encodeConfigRecord(byKey(entriesOf(request))).toString('hex'));
    }
  });

  it('of setup is written as Flower does, with a maximal weight that is real', () => {
    for (const { request } of said('setup')) {
      const entries = entriesOf(request);
      const expected = entries.map((entry) =>
        entry.key === 'max_weight' ? { ...entry, value: { kind: 'real' as const, value: 200 } } : entry,
      );
      expect(secaggplusEntries(requestOf('setup', entries))).toEqual(expected);
    }
  });

  it('says what recorded nodes answered', () => {
    for (const answer of answers('setup')) {
      if (answer.stage !== 'setup') throw new Error(answer.stage);
      for (const pem of [answer.pk1, answer.pk2]) expect(pem.toString()).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
    }
    for (const answer of answers('share_keys'))
      expect(answer.stage === 'share_keys' && answer.sealed.map(({ ciphertext }) => ciphertext.length)).toEqual([
        612, 612, 612,
      ]);
    for (const answer of answers('collect_masked_vectors'))
      expect(answer.stage === 'collect_masked_vectors' && answer.arrays.map(({ length }) => length)).toEqual([
        136, 152, 136,
      ]);
    expect(answers('collect_masked_vectors')).toHaveLength(7);
    expect(
      answers('unmask').map((answer) => answer.stage === 'unmask' && answer.openings.map(({ share }) => share.length)),
    ).toEqual([...Array(4).fill([52, 52, 52, 52]), ...Array(3).fill([52, 52, 52, 324])]);
  });

  it.each([
    ['setup', 'pk2'],
    ['share_keys', 'dsts'],
    ['share_keys', 'ctxts'],
    ['collect_masked_vectors', 'masked_params'],
    ['unmask', 'nids'],
    ['unmask', 'shares'],
  ] as const)('of %s is refused without %s, and with something else there', (stage, key) => {
    const [{ answer = '' } = {}] = said(stage);
    const entries = entriesOf(answer);
    const others: Scalar[] = [
      { kind: 'text', value: 'x' },
      { kind: 'integer', value: 1n },
      { kind: 'reals', value: [1] },
      { kind: 'flags', value: [true] },
    ];
    const refusal = expect.objectContaining({ code: 'REPLY_MALFORMED', message: expect.stringContaining(`"${key}"`) });
    expect(() =>
      readSecaggplusAnswer(
        stage,
        entries.filter((entry) => entry.key !== key),
      ),
    ).toThrow(refusal);
    for (const value of others)
      expect(() =>
        readSecaggplusAnswer(
          stage,
          entries.map((entry) => (entry.key === key ? { key, value } : entry)),
        ),
      ).toThrow(refusal);
  });

  it.each([
    ['share_keys', 'ctxts'],
    ['unmask', 'shares'],
  ] as const)('of %s is refused where nodes and values are not as many', (stage, key) => {
    const [{ answer = '' } = {}] = said(stage);
    for (const value of [
      { kind: 'flags', value: [] },
      { kind: 'datas', value: [Buffer.alloc(1)] },
    ] satisfies Scalar[])
      expect(() =>
        readSecaggplusAnswer(
          stage,
          entriesOf(answer).map((entry) => (entry.key === key ? { key, value } : entry)),
        ),
      ).toThrow(
        expect.objectContaining({
          code: 'REPLY_MALFORMED',
          message: expect.stringMatching(/names \d nodes for [01] values/),
        }),
      );
  });

  it('has empty lists as Flower writes them', () => {
    const request = secaggplusEntries({ stage: 'unmask', active: [5n, 2n ** 63n], dead: [] });
    const [, active, dead] = decodeConfigRecord(encodeConfigRecord(request));
    expect(active?.value).toEqual({ kind: 'integers', value: [5n, 2n ** 63n] });
    expect(dead?.value).toEqual({ kind: 'flags', value: [] });
    const nobody = [
      { key: 'dsts', value: { kind: 'flags', value: [] } },
      { key: 'ctxts', value: { kind: 'flags', value: [] } },
    ] satisfies ConfigEntry[];
    expect(readSecaggplusAnswer('share_keys', nobody)).toEqual({ stage: 'share_keys', sealed: [] });
  });

  it('is read or refused, whatever is in it', () => {
    const bodies = STAGES.flatMap((stage) => said(stage).flatMap(({ answer = [] }) => answer)).map((hex) =>
      Buffer.from(hex, 'hex'),
    );
    const damage = fc.tuple(fc.nat({ max: bodies.length - 1 }), fc.nat({ max: 4000 }), fc.uint8Array({ maxLength: 6 }));
    fc.assert(
      fc.property(fc.constantFrom(...STAGES), damage, fc.boolean(), (stage, [which, at, by], cut) => {
        const body = Buffer.from(bodies[which] as Buffer);
        by.forEach((byte, offset) => {
          body[(at + offset) % body.length] = byte;
        });
        try {
          readSecaggplusAnswer(stage, decodeConfigRecord(cut ? body.subarray(0, at % body.length) : body));
        } catch (error) {
          expect(['REPLY_MALFORMED', 'OBJECT_MALFORMED', 'REQUEST_MALFORMED']).toContain((error as AegisError).code);
        }
      }),
      { seed: 20261127, numRuns: 1500 },
    );
  });
});
