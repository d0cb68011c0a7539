// Services of neighbouring releases talk to each other during every upgrade: the contracts against those of the release before.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { clone, fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { beforeAll, describe, expect, it } from 'vitest';
import { BASELINE, describeContracts } from '../../../scripts/wire-baseline.ts';
import { incompatibilities } from './compatibility.ts';

let now: FileDescriptorSet;
beforeAll(() => {
  now = fromBinary(FileDescriptorSetSchema, describeContracts());
});

it('our contracts are understood by services of the release before', () => {
  const before = fromBinary(FileDescriptorSetSchema, readFileSync(join(import.meta.dirname, '../../..', BASELINE)));
  expect(before.file.length).toBeGreaterThan(5);
  expect(incompatibilities(before, now)).toEqual([]);
});

describe('what another release would not understand is named', () => {
  const changed = (change: (set: FileDescriptorSet) => void): string[] => {
    const set = clone(FileDescriptorSetSchema, now);
    change(set);
    return incompatibilities(now, set);
  };
  const aggregator = (set: FileDescriptorSet) => {
    const file = set.file.find(({ package: name }) => name === 'aegis.aggregator.v1');
    if (file === undefined) throw new Error('no aggregator');
    return file;
  };
  const message = (set: FileDescriptorSet, name: string) => {
    const found = aggregator(set).messageType.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };

  it('nothing when something is added', () => {
    const added = changed((set) => {
      const { field } = message(set, 'ImportModelRequest');
      const [first] = field;
      if (first) field.push({ ...first, name: 'more', number: 99 });
    });
    expect(added).toEqual([]);
  });

  it.each<[string, (set: FileDescriptorSet) => void, RegExp]>([
    [
      'a field that is gone',
      (set) => message(set, 'ImportModelRequest').field.pop(),
      /content = 15 is gone and not reserved/,
    ],
    [
      'a field of another type',
      (set) => {
        const [first] = message(set, 'ImportModelRequest').field;
        if (first) first.type = 13;
      },
      /ImportModelRequest: .* name 1 is now .* name 1/,
    ],
    [
      'a number that means something else',
      (set) => {
        const [first] = message(set, 'ImportModelRequest').field;
        if (first) first.name = 'title';
      },
      /name 1 is now .* title 1/,
    ],
    [
      'a message that is gone',
      (set) => {
        const file = aggregator(set);
        file.messageType = file.messageType.filter(({ name }) => name !== 'ExportModelChunk');
      },
      /message aegis.aggregator.v1.ExportModelChunk is gone/,
    ],
    [
      'a method that is gone',
      (set) => aggregator(set).service[0]?.method.pop(),
      /method aegis.aggregator.v1.\w+.\w+ is gone/,
    ],
    [
      'a method that streams now',
      (set) => {
        const method = aggregator(set).service[0]?.method[0];
        if (method) method.serverStreaming = !method.serverStreaming;
      },
      /method .* was .* and is .*/,
    ],
    ['an enum value that is gone', (set) => set.file.flatMap(({ enumType }) => enumType)[0]?.value.pop(), /is gone/],
  ])('%s', (_what, change, words) => {
    expect(changed(change).join('\n')).toMatch(words);
  });

  it('but not a field that is gone and reserved', () => {
    const reserved = changed((set) => {
      const one = message(set, 'ImportModelRequest');
      one.field.pop();
      one.reservedRange.push({
        $typeName: 'google.protobuf.DescriptorProto.ReservedRange',
        start: 15,
        end: 16,
      } as never);
    });
    expect(reserved).toEqual([]);
  });
});
