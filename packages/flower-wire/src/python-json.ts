// JSON as Python's json.dumps writes it: ", " and ": " between things, everything outside ASCII escaped. Object ids are
// hashes of these bytes, so equal content must give equal text. Names are kept in order and apart, which JSON.parse
// does not do ("10" would come before "a", a second "x" would replace the first).

import { AegisError } from '@aegis/errors';

export function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function pythonStringMap(entries: Iterable<readonly [string, string]>): string {
  const parts: string[] = [];
  for (const [name, value] of entries) parts.push(`${pythonString(name)}: ${pythonString(value)}`);
  return `{${parts.join(', ')}}`;
}

/** Reads one JSON object of strings, entries in the order written. Anything else is OBJECT_MALFORMED. */
export function parseStringMap(text: string): [string, string][] {
  const entries: [string, string][] = [];
  const names = new Set<string>();
  let at = 0;
  const refuse = (reason: string, cause?: unknown): AegisError =>
    new AegisError('OBJECT_MALFORMED', `${reason} (at character ${at}).`, cause);
  const skipSpace = (): void => {
    while (text[at] === ' ' || text[at] === '\n' || text[at] === '\t' || text[at] === '\r') at += 1;
  };
  const took = (mark: string): boolean => {
    skipSpace();
    if (text[at] !== mark) return false;
    at += 1;
    return true;
  };
  const readString = (): string => {
    if (!took('"')) throw refuse('The names are not a JSON object of strings');
    const start = at - 1;
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    at += 1;
    try {
      return JSON.parse(text.slice(start, at)) as string;
    } catch (cause) {
      throw refuse('A string is not valid JSON', cause);
    }
  };

  if (!took('{')) throw refuse('The names are not a JSON object');
  if (!took('}')) {
    do {
      const name = readString();
      if (names.has(name)) throw refuse('A name appears twice');
      names.add(name);
      if (!took(':')) throw refuse('A name has no value');
      entries.push([name, readString()]);
    } while (took(','));
    if (!took('}')) throw refuse('The JSON object does not end');
  }
  skipSpace();
  if (at < text.length) throw refuse('Something follows the JSON object');
  return entries;
}
