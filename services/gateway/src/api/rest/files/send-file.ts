import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AegisError } from '@aegis/errors';
import type { SegmentedFile } from './segmented-file.ts';

/** The file or the one range of it that was asked for (RFC 9110, 14). Several ranges at once get the whole. */
export const sendFile = async (
  request: IncomingMessage,
  response: ServerResponse,
  file: SegmentedFile,
): Promise<void> => {
  const { etag } = file;
  const headers = { etag, 'accept-ranges': 'bytes', 'cache-control': 'private, no-cache' };
  if (matches(request.headers['if-none-match'], etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  const ifRange = request.headers['if-range'];
  const asked = ifRange === undefined || ifRange === etag ? request.headers.range : undefined;
  const range = rangeOf(asked, file.bytes);
  if (range === 'outside') {
    response.writeHead(416, { ...headers, 'content-range': `bytes */${file.bytes}`, 'content-length': 0 }).end();
    return;
  }
  const { from, to } = range ?? { from: 0, to: file.bytes };
  response.writeHead(range ? 206 : 200, {
    ...headers,
    'content-type': file.mediaType,
    'content-length': to - from,
    ...(range && { 'content-range': `bytes ${from}-${to - 1}/${file.bytes}` }),
  });
  try {
    await pipeline(Readable.from(file.read(from, to), { objectMode: true, highWaterMark: 1 }), response);
  } catch (caught) {
    // Its reader has gone: nobody is left to tell.
    if ((caught as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw AegisError.from(caught);
  }
};

const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === '*' || header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag));

/** From the first byte to behind the last; null: the whole. */
const rangeOf = (header: string | undefined, bytes: number): { from: number; to: number } | 'outside' | null => {
  const found = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (!found) return null;
  const [, first = '', last = ''] = found;
  if (first === '' && last === '') return null;
  const from = first === '' ? Math.max(bytes - Number(last), 0) : Number(first);
  const to = first === '' || last === '' ? bytes : Math.min(Number(last) + 1, bytes);
  if (first !== '' && last !== '' && Number(last) < from) return null;
  return from < to ? { from, to } : 'outside';
};
