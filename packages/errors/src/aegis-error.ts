import { type CatalogEntry, catalog, type ErrorCode } from './catalog.ts';

/**
 * The one error type of the suite. `detail` is shown to the caller after the catalogue's text: it names the field,
 * the value and the arithmetic, never a payload, key or token. `cause` stays in the log.
 */
export class AegisError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;

  constructor(code: ErrorCode, detail = '', cause?: unknown) {
    super(detail === '' ? catalog[code].public : `${catalog[code].public} ${detail}`, { cause });
    this.name = 'AegisError';
    this.code = code;
    this.detail = detail;
  }

  get entry(): CatalogEntry {
    return catalog[this.code];
  }

  /** Anything caught becomes one; unknown causes become INTERNAL with a fixed public text. */
  static from(caught: unknown): AegisError {
    return caught instanceof AegisError ? caught : new AegisError('INTERNAL', '', caught);
  }
}

export const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(catalog, text);
