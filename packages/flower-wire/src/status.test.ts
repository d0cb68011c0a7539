import { AegisError, catalog, type ErrorCode } from '@aegis/errors';
import { describe, expect, it } from 'vitest';
import { flowerStatus, grpcDetails, httpErrorBody } from './status.ts';

const fleet = (method: string) => ({ api: 'fleet', method, flwrVersion: '1.41.0' }) as const;
const control = (method: string, flwrVersion = '1.41.0') => ({ api: 'control', method, flwrVersion }) as const;
const codes = Object.keys(catalog) as ErrorCode[];

describe('what a stock node is told', () => {
  it('never a status on a pull, get-run, get-fab or heartbeat that would end its work', () => {
    for (const method of ['pull-messages', 'get-run', 'get-fab', 'send-node-heartbeat']) {
      for (const code of codes) {
        const { kind } = catalog[code];
        if (code === 'MEDIA_TYPE') continue;
        const expected = kind === 'over' ? 403 : kind === 'unauthenticated' ? 401 : 503;
        expect(flowerStatus(new AegisError(code), fleet(method)).http, `${method} ${code}`).toBe(expected);
      }
    }
  });

  it('401 only for an unauthenticated node, 403 only for what is over or forbidden', () => {
    for (const method of ['push-messages', 'push-object', 'pull-object', 'activate-node', 'confirm-message-received']) {
      for (const code of codes) {
        const { kind } = catalog[code];
        const { http } = flowerStatus(new AegisError(code), fleet(method));
        expect(http === 401, `${method} ${code}`).toBe(kind === 'unauthenticated');
        expect(http === 403, `${method} ${code}`).toBe(kind === 'over' || kind === 'forbidden');
      }
    }
  });

  it("Flower's own numbers where they fit", () => {
    const number = (code: ErrorCode, method: string) => {
      const { http, code: flower } = flowerStatus(new AegisError(code), fleet(method));
      return [http, flower];
    };
    expect(number('ENROLMENT_CLOSED', 'register-node')).toEqual([412, 2001]);
    expect(number('HEARTBEAT_INTERVAL', 'activate-node')).toEqual([400, 2003]);
    expect(number('TASK_CLOSED', 'push-messages')).toEqual([403, 2007]);
    expect(number('RUN_NOT_ACTIVE', 'get-run')).toEqual([403, 2008]);
    expect(number('RUN_NOT_ACTIVE', 'get-fab')).toEqual([403, 2009]);
    expect(number('MEDIA_TYPE', 'push-messages')).toEqual([415, 1002]);
    expect(number('BODY_TOO_LARGE', 'push-object')).toEqual([400, undefined]);
    expect(number('BODY_TOO_LARGE', 'register-node')).toEqual([413, undefined]);
  });
});

describe('what a command is told', () => {
  it('the code, the text and what is wrong', () => {
    const status = flowerStatus(new AegisError('PLAN_MISSING', 'Type: aegis app import ./app'), control('start-run'));
    expect(status.http).toBe(412);
    expect(JSON.parse(httpErrorBody(status).toString())).toEqual({
      code: 33,
      detail: 'PLAN_MISSING: No plan is known for this app. Type: aegis app import ./app',
    });
    const elsewhere = flowerStatus(new AegisError('CONTROL_NOT_HERE'), control('register-node'));
    expect([elsewhere.http, elsewhere.grpc, elsewhere.code]).toEqual([403, 7, 9]);
    const stop = flowerStatus(new AegisError('RUN_FINISHED'), control('stop-run'));
    expect([stop.http, stop.code]).toEqual([412, 18]);
    const login = flowerStatus(new AegisError('ACCOUNTS_NOT_USED'), control('get-login-details'));
    expect([login.http, login.code]).toEqual([501, 19]);
  });

  it('nothing of an unexpected failure but that it failed', () => {
    const status = flowerStatus(new Error('secret path'), control('start-run'));
    expect(status).toMatchObject({ http: 500, code: 14, detail: expect.not.stringContaining('secret') });
  });

  it('in gRPC: JSON since 1.30, plain words before, and the words old commands compare', () => {
    const missing = new AegisError('RUN_NOT_FOUND', '7');
    expect(JSON.parse(grpcDetails(missing, control('stop-run', '1.32.1')))).toEqual({
      code: 16,
      public_message: expect.stringContaining('RUN_NOT_FOUND'),
      public_details: null,
    });
    expect(grpcDetails(missing, control('stop-run', ''))).toBe('Run ID not found');
    expect(grpcDetails(new AegisError('PLAN_MISSING', 'x'), control('start-run', '1.28.0'))).toContain(
      'PLAN_MISSING: ',
    );
  });
});
