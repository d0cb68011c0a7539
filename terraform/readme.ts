// Writes each module's and example's variables and outputs into its README.md, below the line that says so; what stands above it is
// written by hand. Like terraform-docs, without another program to install.
//   node terraform/readme.ts            write
//   node terraform/readme.ts --check    fail, naming the files, where a README is not up to date
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Block {
  readonly name: string;
  /** Attributes as written, heredocs and strings without their quotes. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Top-level `kind "name" { … }` blocks of a file that `terraform fmt` has formatted, in the order they stand in. */
export function blocks(kind: 'variable' | 'output', text: string): Block[] {
  const found: Block[] = [];
  const head = new RegExp(`^${kind} "([^"]+)" \\{$`);
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const name = head.exec(lines[i] as string)?.[1];
    if (name === undefined) continue;
    const end = lines.indexOf('}', i);
    found.push({ name, attributes: attributes(lines.slice(i + 1, end)) });
    i = end;
  }
  return found;
}

function attributes(lines: readonly string[]): Record<string, string> {
  const all: Record<string, string> = {};
  for (let i = 0; i < lines.length; i++) {
    const [, name, first] = /^ {2}(\w+)\s*= (.*)$/.exec(lines[i] as string) ?? [];
    if (name === undefined || first === undefined) continue;
    const heredoc = /^<<-(\w+)$/.exec(first)?.[1];
    if (heredoc !== undefined) {
      const end = lines.findIndex((line, j) => j > i && line.trim() === heredoc);
      all[name] = lines
        .slice(i + 1, end)
        .map((line) => line.trim())
        .join(' ');
      i = end;
      continue;
    }
    // A value goes on until its brackets are closed; `terraform fmt` indents what is inside by four and closes at two.
    let value = first;
    if (/[[{(]$/.test(first)) {
      while (!/^ {2}[\])}]/.test(lines[i + 1] as string)) value += ` ${(lines[++i] as string).trim()}`;
      value += ` ${(lines[++i] as string).trim()}`;
    }
    all[name] = name === 'description' ? (JSON.parse(value) as string) : value.replace(/\s+/g, ' ');
  }
  return all;
}

const cell = (text: string) => text.replace(/\|/g, '\\|');
const code = (text: string) => `\`${cell(text)}\``;

const GENERATED = '<!-- below: written by node terraform/readme.ts from the .tf files -->';

/** Variables and outputs of the folder as Markdown. */
export function describeFolder(folder: string): string {
  const text = readdirSync(folder)
    .filter((name) => name.endsWith('.tf'))
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const variables = blocks('variable', text).map(({ name, attributes: a }) => {
    const fallback = a.default === undefined ? 'required' : code(a.default);
    return `| ${code(name)} | ${cell(a.description ?? '')} | ${code(a.type ?? 'any')} | ${fallback} |`;
  });
  const outputs = blocks('output', text).map(
    ({ name, attributes: a }) => `| ${code(name)} | ${cell(a.description ?? '')} |`,
  );
  return [
    GENERATED,
    '',
    '## Variables',
    '',
    '| name | | type | default |',
    '|---|---|---|---|',
    ...variables,
    '',
    '## Outputs',
    '',
    '| name | |',
    '|---|---|',
    ...outputs,
    '',
  ].join('\n');
}

/** Folders with Terraform files that have a README of their own. */
export const folders = (): string[] =>
  ['modules', 'examples'].flatMap((room) =>
    readdirSync(join(import.meta.dirname, room))
      .sort()
      .map((name) => join(import.meta.dirname, room, name)),
  );

function main(): void {
  const check = process.argv.includes('--check');
  for (const folder of folders()) {
    const file = join(folder, 'README.md');
    const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const byHand = before.split(GENERATED)[0]?.trimEnd() ?? '';
    const after = `${byHand}\n\n${describeFolder(folder)}`;
    if (!check) writeFileSync(file, after);
    else if (before !== after) {
      console.error(`${relative(process.cwd(), file)} is not up to date: node terraform/readme.ts`);
      process.exitCode = 1;
    }
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main();
