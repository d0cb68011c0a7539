/** How an app lays out its records: `@app.train()` functions, or a NumPyClient behind `client_fn`. */
export type RecordDialect = 'message' | 'legacy';

/**
 * Reads the dialect off the source of the clientapp module; null when the source shows neither style, or both.
 * Comments and strings are dropped first, so that a mention in a docstring decides nothing.
 */
export function detectDialect(source: string): RecordDialect | null {
  const code = withoutCommentsAndStrings(source);
  const message = /@\s*\w+\s*\.\s*(train|evaluate|query)\s*\(/.test(code);
  const legacy = /\bClientApp\s*\(\s*(client_fn\b|[A-Za-z_]\w*\s*[,)])/.test(code);
  if (message === legacy) return null;
  return message ? 'message' : 'legacy';
}

/** `pkg.client_app:app` → where the module's source may be inside the bundle. */
export function clientappFiles(clientapp: string): string[] {
  const module = clientapp.slice(0, clientapp.indexOf(':')).replaceAll('.', '/');
  return [`${module}.py`, `${module}/__init__.py`];
}

const withoutCommentsAndStrings = (source: string): string =>
  source.replace(/("""|''')[\s\S]*?\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*/g, (found) =>
    found.startsWith('#') ? '' : '""',
  );
