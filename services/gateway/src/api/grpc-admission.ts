import { AegisError } from '@aegis/errors';
import { grpcDetails } from '@aegis/flower-wire';
import { type Secret, toGrpcStatus } from '@aegis/service-kit';
import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import type { BodyBudget } from './body-budget.ts';
import type { Counted } from './counted.ts';
import { checkToken } from './operator-door.ts';

/** What a push is taken to need until its message is here: the chunk of a stock client and its frame. */
const EXPECTED_PUSH = 5.5 * 2 ** 20;

const pushPath = /^\/flwr\.proto\.Fleet\/PushObject$/;

/** Keeps pushes over gRPC within the budget: refused when its headers arrive, before the message is read. */
export const pushAdmission =
  (budget: BodyBudget, counted: Counted): ServerInterceptor =>
  (method, call) => {
    if (!pushPath.test(method.path)) return new ServerInterceptingCall(call);
    let release = (): void => {};
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            try {
              release = budget.take(EXPECTED_PUSH);
              proceed(metadata);
            } catch (caught) {
              const error = AegisError.from(caught);
              counted.refused('grpc', error, { path: method.path, status: 503 });
              const version = metadata.get('flwr-package-version')[0];
              const where = { api: 'fleet', method: 'push-object', flwrVersion: String(version ?? '') } as const;
              call.sendStatus({ code: status.UNAVAILABLE, details: grpcDetails(error, where) });
            }
          },
          onCancel: () => release(),
        }),
      sendStatus: (outcome, next) => {
        release();
        next(outcome);
      },
    });
  };

/** Turns a caller without the token away when its headers arrive: nobody else may send us large models to hold. */
export const operatorAdmission =
  (token: Secret | undefined, counted: Counted): ServerInterceptor =>
  (method, call) => {
    if (!method.path.startsWith('/aegis.operator.')) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, proceed) => {
            try {
              checkToken(metadata, token);
              proceed(metadata);
            } catch (caught) {
              const error = AegisError.from(caught);
              const outcome = toGrpcStatus(error);
              counted.refused('operator', error, { path: method.path, status: outcome.code });
              call.sendStatus(outcome);
            }
          },
        }),
    });
  };
