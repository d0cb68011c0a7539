import { AegisError, isErrorCode, type Kind } from '@aegis/errors';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';

// The one place where the suite's errors become gRPC statuses, and come back.

const statusOfKind: Record<Kind, status> = {
  invalid: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  'not-found': status.NOT_FOUND,
  conflict: status.FAILED_PRECONDITION,
  over: status.PERMISSION_DENIED,
  'too-large': status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  internal: status.INTERNAL,
};

/** gRPC status of an error's kind. */
export const grpcStatusOf = (kind: Kind): status => statusOfKind[kind];

const trailer = 'aegis-error-bin';
// Peers refuse large header blocks; a detail is a sentence, so this only guards against accidents.
const longestDetail = 2000;

/** What a server sends for an error: status and public text for anybody, code and detail in a trailer for our clients. */
export const toGrpcStatus = (error: AegisError): { code: status; details: string; metadata: Metadata } => {
  const detail = error.detail.slice(0, longestDetail);
  const metadata = new Metadata();
  metadata.set(trailer, Buffer.from(JSON.stringify({ code: error.code, detail })));
  return {
    code: error.code === 'DEADLINE' ? status.DEADLINE_EXCEEDED : grpcStatusOf(error.entry.kind),
    details: detail === '' ? error.entry.public : `${error.entry.public} ${detail}`,
    metadata,
  };
};

/** The error the handler threw, rebuilt from the trailer; without one, what the status itself says. */
export const fromGrpcStatus = (error: Pick<StatusObject, 'code' | 'metadata'> | ServiceError): AegisError => {
  const [bytes] = error.metadata?.get(trailer) ?? [];
  const carried = Buffer.isBuffer(bytes) ? parseTrailer(bytes) : undefined;
  if (carried !== undefined && isErrorCode(carried.code)) return new AegisError(carried.code, carried.detail);
  // Either transport trouble, or a newer peer with a code we do not know yet: keep its text.
  const detail = carried?.detail ?? '';
  switch (error.code) {
    case status.DEADLINE_EXCEEDED:
      return new AegisError('DEADLINE', detail, error);
    case status.UNAVAILABLE:
    case status.CANCELLED:
      return new AegisError('UNAVAILABLE', detail, error);
    case status.UNIMPLEMENTED:
      return new AegisError('METHOD_UNKNOWN', detail, error);
    case status.RESOURCE_EXHAUSTED:
      return new AegisError('BODY_TOO_LARGE', detail, error);
    case status.INVALID_ARGUMENT:
      return new AegisError('REQUEST_MALFORMED', detail, error);
    default:
      return new AegisError('INTERNAL', detail, error);
  }
};

const parseTrailer = (bytes: Buffer): { code: string; detail: string } | undefined => {
  try {
    const { code, detail } = JSON.parse(bytes.toString('utf8'));
    return typeof code === 'string' && typeof detail === 'string' ? { code, detail } : undefined;
  } catch {
    return undefined;
  }
};
