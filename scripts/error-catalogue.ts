// Writes docs/errors.md from packages/errors. `--check` fails when the committed page differs.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CatalogEntry, catalog } from '../packages/errors/src/catalog.ts';

const page = join(import.meta.dirname, '../docs/errors.md');

const row = ([code, entry]: [string, CatalogEntry]): string =>
  `| \`${code}\` | ${entry.kind} | ${entry.public} | ${entry.todo} |`;

const text = `# Errors

Every refusal carries one of these codes, the same in logs, in \`--json\` output, in gRPC trailers and in what a Flower
client prints. This page is made from \`packages/errors/src/catalog.ts\`; codes are never renamed or reused.

| code | kind | meaning | what to do |
|---|---|---|---|
${Object.entries(catalog).map(row).join('\n')}
`;

if (process.argv.includes('--check')) {
  if (readFileSync(page, 'utf8') !== text) {
    console.error('docs/errors.md is out of date, run `node scripts/error-catalogue.ts`');
    process.exit(1);
  }
} else {
  writeFileSync(page, text);
}
