// TypeScript files as the JavaScript that Node runs: types become blanks, so lines and columns stay what they are.
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { preProcessFile } from 'typescript';
import { root } from './workspaces.ts';

export interface Script {
  readonly code: string;
  /** The specifiers of its imports, re-exports and `import()`s of literals, as the source has them. */
  readonly imports: readonly string[];
}

/** @param file relative to the repository. */
export const readScript = (file: string): Script => {
  const stripped = stripTypeScriptTypes(readFileSync(join(root, file), 'utf8'), { mode: 'strip' });
  const { importedFiles } = preProcessFile(stripped, true, true);
  let code = stripped;
  for (const { fileName, pos, end } of importedFiles) {
    if (!fileName.startsWith('.') || !fileName.endsWith('.ts')) continue;
    // `pos` is before the quote or the word, by the kind of import; what is replaced is as long as what replaces it.
    const at = stripped.indexOf(fileName, pos);
    if (at < 0 || at > end) throw new Error(`${file}: no place of the import of ${fileName}`);
    code = code.slice(0, at) + scriptName(fileName) + code.slice(at + fileName.length);
  }
  return { code, imports: importedFiles.map(({ fileName }) => fileName) };
};

export const scriptName = (name: string): string => name.replace(/\.ts$/, '.js');
