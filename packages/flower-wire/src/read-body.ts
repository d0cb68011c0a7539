import type { IncomingMessage } from 'node:http';
import { AegisError } from '@aegis/errors';
import { tooLarge } from './fleet-service.ts';

/**
 * The whole body, refused as soon as it is known to be larger than `limit`: by its announced length before a byte is
 * read, else at the byte too many. Holds no more than what has arrived; one copy when it came in several pieces.
 */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit) return Promise.reject(tooLarge(announced, limit));
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    const stop = (): void => {
      request.off('data', onData);
      request.off('end', onEnd);
      request.off('error', onGone);
      request.off('close', onGone);
    };
    const onData = (piece: Buffer): void => {
      length += piece.byteLength;
      if (length > limit) {
        stop();
        request.pause();
        reject(tooLarge(length, limit));
      } else pieces.push(piece);
    };
    const onEnd = (): void => {
      stop();
      resolve(pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, length));
    };
    const onGone = (): void => {
      stop();
      reject(new AegisError('REQUEST_MALFORMED', 'The connection ended inside the request.'));
    };
    request.on('data', onData);
    request.on('end', onEnd);
    request.on('error', onGone);
    request.on('close', onGone);
  });
}
