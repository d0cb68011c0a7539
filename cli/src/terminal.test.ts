import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { failureOf } from './command-error.ts';
import { captured } from './terminal.test-support.ts';
import { Terminal } from './terminal.ts';

describe('output for people', () => {
  it('is a table without lines and without colours when nobody looks at a terminal', () => {
    const { terminal, stdout } = captured({ json: false });
    terminal.table(
      ['NODE', 'STATE'],
      [
        ['7', 'online'],
        ['18446744073709551615', 'offline'],
      ],
      'none',
    );
    terminal.result({ never: 'shown' });
    expect(stdout()).toBe('NODE                  STATE\n7                     online\n18446744073709551615  offline\n');
  });

  it('says in words that a table is empty', () => {
    const { terminal, stdout } = captured({ json: false });
    terminal.table(['NODE'], [], 'No nodes yet.');
    expect(stdout()).toBe('No nodes yet.\n');
  });

  it('keeps errors and what to do about them on stderr', () => {
    const { terminal, stdout, stderr } = captured({ json: false });
    terminal.failure({ code: 'X', message: 'It broke.', todo: 'Mend it.', exitCode: 1 });
    expect(stderr()).toBe('aegis: It broke.\n  Mend it.\n');
    expect(stdout()).toBe('');
  });

  it('is coloured and rewritten in place only on a terminal, and never with NO_COLOR', () => {
    const onTty = (env: NodeJS.ProcessEnv) => {
      let text = '';
      const stdout = Object.assign(
        new Writable({
          write(piece, _, done) {
            text += piece.toString();
            done();
          },
        }),
        { isTTY: true, columns: 20 },
      );
      const terminal = new Terminal({ json: false, stdout, env });
      terminal.line(terminal.style('green', 'fine'));
      terminal.transient('a text that is longer than the line');
      return text;
    };
    expect(onTty({})).toBe('\u001b[32mfine\u001b[39m\n\r\u001b[2Ka text that is long');
    expect(onTty({ NO_COLOR: '1' })).toBe('fine\n');
  });
});

describe('output that nobody reads any more', () => {
  const pipe = (code: string) =>
    new Writable({ write: (_piece, _, done) => done(Object.assign(new Error('write'), { code })) });

  it('is dropped, and the terminal says that it is closed', async () => {
    const terminal = new Terminal({ json: false, stdout: pipe('EPIPE'), stderr: pipe('EPIPE'), env: {} });
    expect(terminal.closed.aborted).toBe(false);
    terminal.line('one');
    await new Promise((resolve) => setImmediate(resolve));
    expect(terminal.closed.reason).toMatchObject({ code: 'EPIPE' });
    terminal.line('two');
    terminal.note('three');
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('output with --json', () => {
  it('is one line with one value; everything for people is left out', () => {
    const { terminal, stdout, stderr } = captured({ json: true });
    terminal.line('words');
    terminal.note('more words');
    terminal.table(['A'], [['b']], 'none');
    terminal.transient('…');
    terminal.progress('export', 10, 'MB').update(5);
    terminal.result({ id: 18446744073709551615n, list: [1n] });
    expect(stdout()).toBe('{"id":"18446744073709551615","list":["1"]}\n');
    expect(stderr()).toBe('');
  });

  it('cannot have a second value', () => {
    const { terminal } = captured({ json: true });
    terminal.result(1);
    expect(() => terminal.result(2)).toThrow('one JSON value');
  });

  it('has errors as one value on stderr', () => {
    const { terminal, stdout, stderr } = captured({ json: true });
    terminal.failure(failureOf(Object.assign(new Error('x'), { code: 'ENOENT', path: '/no/file' })));
    expect(JSON.parse(stderr())).toEqual({
      error: { code: 'ENOENT', message: '/no/file: There is no such file or folder.' },
    });
    expect(stdout()).toBe('');
  });
});
