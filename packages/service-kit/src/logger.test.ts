import { inspect } from 'node:util';
import { AegisError } from '@aegis/errors';
import { recordingTelemetry } from '@aegis/testkit';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { Secret } from './secret.ts';

const logged = (write: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown> => {
  const lines: string[] = [];
  write(createLogger({ name: 'test', level: 'debug', destination: { write: (line) => lines.push(line) } }));
  return JSON.parse(lines[0] ?? '{}');
};

describe('logger', () => {
  it('writes one JSON line with name, level, time and fields', () => {
    expect(logged((log) => log.child({ run: 7n }).info({ round: 2 }, 'round closed'))).toMatchObject({
      name: 'test',
      level: 'info',
      msg: 'round closed',
      run: '7',
      round: 2,
      time: expect.stringMatching(/^\d{4}-/),
    });
  });

  it('prints no secret: by type, by the name of its key, by its form', () => {
    const pem = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----';
    const line = JSON.stringify(
      logged((log) =>
        log.info(
          {
            box: new Secret('hunter2'),
            deep: { list: [{ operatorToken: 'hunter2', password: { old: 'hunter2' } }] },
            authorization: 'Bearer hunter2',
            text: pem,
            header: new Map([['x-secret', 'hunter2']]),
          },
          'x',
        ),
      ),
    );
    expect(line).not.toMatch(/hunter2|MHcCAQ/);
  });

  it('prints the length of bytes, never the bytes', () => {
    expect(logged((log) => log.info({ update: new Float32Array(3), part: Buffer.from('abc') }, 'x'))).toMatchObject({
      update: '<12 bytes>',
      part: '<3 bytes>',
    });
  });

  it('prints an error with its code and its causes', () => {
    const error = new AegisError('STORE_UNAVAILABLE', 'runs/7', new Error('socket closed'));
    expect(logged((log) => log.error({ err: error }, 'failed')).err).toMatchObject({
      type: 'AegisError',
      code: 'STORE_UNAVAILABLE',
      cause: { message: 'socket closed' },
    });
  });

  it('survives a structure that contains itself', () => {
    const self: Record<string, unknown> = {};
    self.self = self;
    expect(logged((log) => log.info(self, 'x')).msg).toBe('x');
  });

  it('names the active trace', async () => {
    const { telemetry } = recordingTelemetry();
    await telemetry.inSpan('work', {}, (span) => {
      expect(logged((log) => log.info('x')).trace_id).toBe(span.spanContext().traceId);
    });
    expect(logged((log) => log.info('x'))).not.toHaveProperty('trace_id');
  });
});

describe('Secret', () => {
  it('prints as nothing however it is printed', () => {
    const secret = new Secret('hunter2');
    const printed = [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect(secret),
      inspect({ secret }, { showHidden: true }),
    ];
    expect(printed.join()).not.toContain('hunter2');
    expect(secret.reveal()).toBe('hunter2');
  });
});
