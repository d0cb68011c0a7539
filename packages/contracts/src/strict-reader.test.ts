import { describe, expect, it } from 'vitest';
import { GetFabRequest } from './gen/flwr/proto/fab.ts';
import { GetRunRequest } from './gen/flwr/proto/run.ts';

const run = (hex: string) => GetRunRequest.decode(Buffer.from(hex, 'hex'));

describe('generated decoders', () => {
  it('read what is whole, and pass over fields that they do not know', () => {
    expect(run('0a0208091007')).toMatchObject({ node: { nodeId: 9n }, runId: 7n });
    expect(run('0a0208091007f80101fa0102abcd')).toMatchObject({ runId: 7n });
    expect(run('0a020809f301fa0102abcdf4011007')).toMatchObject({ runId: 7n });
    expect(GetFabRequest.decode(Buffer.from('1203e282ac', 'hex')).hashStr).toBe('€');
  });

  it.each([
    ['the end of a group that did not begin', '0a02080910070c'],
    ['a tag of no field', '0001'],
    ['a tag of more than 32 bits', 'f8ffffff7f01'],
    ['wire types that there are not', '0e'],
    ['a number of more than 64 bits in a field nobody knows', 'f801ffffffffffffffffffffffff01'],
    ['a length of more than 31 bits', '9a01808080808010'],
    ['a nested message whose field is longer than itself', '0a03120508011001'],
    ['a nested message that ends inside a field', '0a01081007'],
    ['an end of a group inside a nested message', '0a030c0809'],
    ['a message that is cut off', '0a05'],
  ])('refuse %s', (_what, hex) => {
    expect(() => run(hex)).toThrow();
  });

  it('refuse text that is no UTF-8', () => {
    expect(() => GetFabRequest.decode(Buffer.from('1203ff41fe', 'hex'))).toThrow();
  });
});
