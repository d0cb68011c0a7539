// Runs inside the base image while an image is built: collects what Node needs to run, and nothing else, into a folder. No shell, no
// package manager, no other program of the base gets into the image.
//   SOURCE_DATE_EPOCH=… node runtime.mjs INTO FILE.node
import { chmodSync, copyFileSync, lutimesSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const [into, native] = process.argv.slice(2);
const seconds = Number(process.env.SOURCE_DATE_EPOCH);

// Loaded here, so that a base whose C library is too old for it fails the build and not the first start.
createRequire(import.meta.url)(native);
process.report.excludeNetwork = true;
const libraries = process.report
  .getReport()
  .sharedObjects.filter((file) => file.startsWith('/') && file !== native && file !== process.execPath);

const put = (file, mode, write) => {
  const path = join(into, file);
  mkdirSync(dirname(path), { recursive: true });
  write(path);
  chmodSync(path, mode);
};
for (const library of libraries) put(library, 0o755, (path) => copyFileSync(realpathSync(library), path));
put('usr/local/bin/node', 0o755, (path) => copyFileSync(process.execPath, path));
const texts = {
  'etc/passwd': 'root:x:0:0:root:/:/nologin\naegis:x:10001:10001:aegis:/app:/nologin\n',
  'etc/group': 'root:x:0:\naegis:x:10001:\n',
  'etc/nsswitch.conf': 'hosts: files dns\n',
};
for (const [file, text] of Object.entries(texts)) put(file, 0o644, (path) => writeFileSync(path, text));
mkdirSync(join(into, 'tmp'));

// Equal contents become an equal layer.
const settle = (folder, mode) => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) settle(path, path === join(into, 'tmp') ? 0o1777 : 0o755);
    else lutimesSync(path, seconds, seconds);
  }
  chmodSync(folder, mode);
  lutimesSync(folder, seconds, seconds);
};
settle(into, 0o755);
