import { describe, expect, it } from 'vitest';
import { ZIP_END_BYTES, zipEndFault } from './zip-end.ts';

const end = (fields: Partial<Record<'disk' | 'here' | 'all' | 'size' | 'offset', number>>): Buffer => {
  const { disk = 0, here = 1, all = 1, size = 60, offset = 40 } = fields;
  const bytes = Buffer.alloc(22);
  bytes.writeUInt32LE(0x06054b50, 0);
  bytes.writeUInt16LE(disk, 4);
  bytes.writeUInt16LE(here, 8);
  bytes.writeUInt16LE(all, 10);
  bytes.writeUInt32LE(size, 12);
  bytes.writeUInt32LE(offset, 16);
  return bytes;
};

const large = (bytes: number, { at = bytes - ZIP_END_BYTES, size = 60n } = {}): Buffer => {
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(size, 40);
  record.writeBigUInt64LE(BigInt(bytes - ZIP_END_BYTES) - 60n, 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(at), 8);
  return Buffer.concat([record, locator, end({ size: 0xffffffff, offset: 0xffffffff, here: 0xffff, all: 0xffff })]);
};

describe('the end of a ZIP archive', () => {
  it('is right when the directory ends where the end begins', () => {
    expect(zipEndFault(end({}), 122)).toBeNull();
    expect(zipEndFault(Buffer.concat([Buffer.alloc(60), end({})]), 122)).toBeNull();
    expect(zipEndFault(large(5_000_000_000), 5_000_000_000)).toBeNull();
  });

  it.each([
    ['something before the archive', end({}), 123],
    ['something behind it', Buffer.concat([end({}), Buffer.alloc(1)]), 123],
    ['several volumes', end({ disk: 1 }), 122],
    ['fewer members here than there are', end({ here: 0 }), 122],
    ['nothing', Buffer.alloc(0), 0],
    ['a large end that is not there', Buffer.concat([Buffer.alloc(76), end({ offset: 0xffffffff })]), 5_000_000_000],
    ['a large end elsewhere', large(5_000_000_000, { at: 7 }), 5_000_000_000],
    ['a large directory of another size', large(5_000_000_000, { size: 61n }), 5_000_000_000],
  ])('is wrong with %s', (_what, tail, bytes) => {
    expect(zipEndFault(tail, bytes)).not.toBeNull();
  });
});
