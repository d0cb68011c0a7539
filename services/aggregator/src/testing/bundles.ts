// Bundles as `flwr build` makes them, and broken ones: for tests.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

export interface ZipFile {
  readonly name: string;
  readonly content: Buffer | string;
  /** Unix mode; default a regular file. */
  readonly mode?: number;
}

/** Stored entries only; enough for yauzl and for Python. */
export function zip(files: readonly ZipFile[]): Buffer {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, mode = 0o100644 } of files) {
    const file = Buffer.from(name);
    const data = Buffer.from(content);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x800, 2);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(file.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, file, data]);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, tail, file]));
    pieces.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...pieces, central, end]);
}

/** `.info/CONTENT` for these files. */
export const manifestOf = (files: readonly ZipFile[]): ZipFile => ({
  name: '.info/CONTENT',
  content: files
    .map(({ name, content }) => {
      const data = Buffer.from(content);
      return `${name},${createHash('sha256').update(data).digest('hex')},${data.length * 8}`;
    })
    .join('\n'),
});

export const messageApp =
  'from flwr.clientapp import ClientApp\n\napp = ClientApp()\n\n@app.train()\ndef train(msg, context):\n    ...\n';
export const legacyApp =
  'from flwr.client import ClientApp\n\ndef client_fn(context):\n    ...\n\napp = ClientApp(client_fn=client_fn)\n';

/** The app `aegis/tiny`; `config`: the lines under [tool.flwr.app.config]. */
export function fab({
  config = '',
  source = messageApp,
  extra = [],
}: {
  config?: string;
  source?: string;
  extra?: ZipFile[];
} = {}): Buffer {
  const pyproject = `[project]
name = "tiny"
version = "1.2.3"

[tool.flwr.app]
publisher = "aegis"

[tool.flwr.app.components]
serverapp = "tiny.server_app:app"
clientapp = "tiny.client_app:app"

[tool.flwr.app.config]
${config}
`;
  const files: ZipFile[] = [
    { name: 'pyproject.toml', content: pyproject },
    { name: 'tiny/__init__.py', content: '' },
    { name: 'tiny/client_app.py', content: source },
    { name: 'tiny/server_app.py', content: 'app = ServerApp()\n' },
    ...extra,
  ];
  return zip([...files, manifestOf(files)]);
}
