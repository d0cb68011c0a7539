import { AegisError } from '@aegis/errors';
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { type Logger as PinoLogger, pino } from 'pino';
import { Secret } from './secret.ts';

interface LogLine {
  (fields: object, message: string): void;
  (message: string): void;
}

/** One JSON line per call. Success paths log little; `error` means somebody must look. */
export interface Logger {
  debug: LogLine;
  info: LogLine;
  warn: LogLine;
  error: LogLine;
  child(fields: object): Logger;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LoggerOptions {
  name: string;
  level?: LogLevel;
  /** Default: standard output. Anything with `write(line)`, or a file path. */
  destination?: { write(line: string): void } | string;
}

export const createLogger = ({ name, level = 'info', destination }: LoggerOptions): Logger =>
  loggerOn(
    pino(
      {
        name,
        level,
        base: { pid: process.pid },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: {
          level: (label) => ({ level: label }),
          log: (fields) => loggable(fields, 0) as Record<string, unknown>,
        },
        serializers: { err: (fields) => fields }, // pino's own would run on what `loggable` has made already
        mixin: traceFields,
      },
      typeof destination === 'string'
        ? pino.destination({ dest: destination, mkdir: true })
        : (destination ?? standardOutput()),
    ),
  );

// Who read our lines may go away first. Then they are lost; without a listener every one of them would be an uncaught
// exception, told by another line.
const standardOutput = (): NodeJS.WriteStream => {
  if (!process.stdout.listeners('error').includes(unheard)) process.stdout.on('error', unheard);
  return process.stdout;
};
const unheard = (): void => {};

// pino does not run its formatters over a child's fields, so they are made loggable on the way in.
const loggerOn = (log: PinoLogger): Logger => ({
  debug: log.debug.bind(log),
  info: log.info.bind(log),
  warn: log.warn.bind(log),
  error: log.error.bind(log),
  child: (fields) => loggerOn(log.child(loggable(fields, 0) as Record<string, unknown>)),
});

const traceFields = (): object => {
  const context = trace.getActiveSpan()?.spanContext();
  return context !== undefined && isSpanContextValid(context)
    ? { trace_id: context.traceId, span_id: context.spanId }
    : {};
};

const secretKey = /pass(word|phrase)|secret|token|private_?key|authorization|credential|signature|^key$/i;
const pemKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;
const deepest = 6;

// A vector, a share or a key never reaches the log: bytes become their length, secrets by type and by name become a word.
const loggable = (value: unknown, depth: number): unknown => {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return pemKey.test(value) ? '[redacted]' : value;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Secret) return value.toJSON();
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `<${value.byteLength} bytes>`;
  if (value instanceof Error) return errorFields(value, depth);
  if (value instanceof Date) return value;
  if (depth >= deepest) return '[deep]';
  if (Array.isArray(value)) return value.map((item) => loggable(item, depth + 1));
  const entries = value instanceof Map ? value : Object.entries(value);
  return Object.fromEntries(
    [...entries].map(([key, item]) => [
      String(key),
      secretKey.test(String(key)) && item !== undefined && item !== null ? '[redacted]' : loggable(item, depth + 1),
    ]),
  );
};

const errorFields = (error: Error, depth: number): object => ({
  type: error.name,
  ...(error instanceof AegisError
    ? { code: error.code }
    : 'code' in error && (typeof error.code === 'string' || typeof error.code === 'number') && { code: error.code }),
  message: loggable(error.message, depth),
  stack: loggable(error.stack, depth),
  ...(error.cause !== undefined && depth < deepest && { cause: loggable(error.cause, depth + 1) }),
});

export const silentLogger: Logger = createLogger({ name: 'silent', level: 'silent' });
