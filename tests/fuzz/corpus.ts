import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'corpus');

/** Inputs that were found to be trouble once, or are meant to be: corpus/TARGET/NAME. */
export const corpusOf = (target: string): { name: string; bytes: Buffer }[] => {
  const own = join(folder, target);
  if (!existsSync(own)) return [];
  return readdirSync(own)
    .sort()
    .map((name) => ({ name, bytes: readFileSync(join(own, name)) }));
};

/** Where inputs go that nobody has looked at yet. */
export const findsFolder = join(import.meta.dirname, '../../.cache/fuzz');

export const writeFind = (target: string, name: string, input: Buffer): string => {
  const own = join(findsFolder, target);
  mkdirSync(own, { recursive: true });
  const file = join(own, name);
  writeFileSync(file, input);
  return file;
};
