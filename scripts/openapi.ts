// Writes docs/openapi.json from the schemas of the gateway's REST door. `--check` fails when the committed one differs.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openApi } from '../services/gateway/src/api/rest/openapi.ts';

const page = join(import.meta.dirname, '../docs/openapi.json');
const text = `${JSON.stringify(openApi(), null, 2)}\n`;

if (process.argv.includes('--check')) {
  if (readFileSync(page, 'utf8') !== text) {
    console.error('docs/openapi.json is out of date, run `node scripts/openapi.ts`');
    process.exit(1);
  }
} else {
  writeFileSync(page, text);
}
