import { describe, expect, it } from 'vitest';
import { clientappFiles, detectDialect } from './record-dialect.ts';

describe('the record dialect', () => {
  it.each([
    ['@app.train()', '@app.train()\ndef train(msg, context): ...', 'message'],
    ['a named action', '@ app . train ( "fit" )\ndef train(msg, context): ...', 'message'],
    ['evaluation alone', '@client.evaluate()\ndef evaluate(msg, context): ...', 'message'],
    ['client_fn by name', 'app = ClientApp(client_fn=client_fn)', 'legacy'],
    ['client_fn by position', 'app = ClientApp(\n    my_fn,\n)', 'legacy'],
    ['client_fn and mods', 'app = flwr.client.ClientApp(client_fn=f, mods=[secaggplus_mod])', 'legacy'],
    ['both', '@app.train()\ndef t(): ...\napp = ClientApp(client_fn=f)', null],
    ['neither', 'from .other import app', null],
    ['mods only', 'app = ClientApp(mods=[a])', null],
    ['a mention in a comment', '# use @app.train() one day\napp = ClientApp(client_fn=f)', 'legacy'],
    ['a mention in a docstring', '"""Not ClientApp(client_fn=f).\n\'\'\' \n"""\n@app.train()\ndef t(): ...', 'message'],
    ['a mention in a string', 'x = "@app.train() # no"\napp = ClientApp(client_fn=f)', 'legacy'],
  ])('of source with %s', (_what, source, dialect) => expect(detectDialect(source)).toBe(dialect));

  it('is looked for in the module that pyproject names', () => {
    expect(clientappFiles('pkg.sub.client_app:app')).toEqual([
      'pkg/sub/client_app.py',
      'pkg/sub/client_app/__init__.py',
    ]);
  });
});
