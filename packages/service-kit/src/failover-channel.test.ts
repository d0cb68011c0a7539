import { HealthCheckResponse_ServingStatus, HealthService } from '@aegis/contracts/grpc/health/v1/health';
import { AegisError, type ErrorCode } from '@aegis/errors';
import { describe, expect, it } from 'vitest';
import { failoverChannel } from './failover-channel.ts';
import { inProcessChannel } from './in-process-channel.ts';
import { serviceOf } from './service.ts';

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;

/** Processes that answer, or refuse with a code; which of them were asked. */
const world = (...says: (ErrorCode | 'answers' | 'breaks')[]) => {
  const called: number[] = [];
  const channels = says.map((_, i) => {
    const one = async () => {
      called.push(i);
      const say = says[i] as ErrorCode;
      if (say !== ('answers' as string) && say !== ('breaks' as string)) throw new AegisError(say);
      return { status: SERVING };
    };
    const watch = async function* () {
      yield await one();
      if (says[i] === 'breaks') throw new AegisError('UNAVAILABLE');
      yield { status: NOT_SERVING };
    };
    return inProcessChannel([serviceOf(HealthService, { check: one, watch })]);
  });
  const client = failoverChannel(channels as [(typeof channels)[0]]).client(HealthService);
  return { says, called, check: () => client.check({ service: '' }), watch: () => client.watch({ service: '' }) };
};

describe('of several processes', () => {
  it('the one that answers is found, and asked first from then on', async () => {
    const { called, check } = world('UNAVAILABLE', 'DRAINING', 'answers');
    await check();
    await check();
    expect(called).toEqual([0, 1, 2, 2]);
  });

  it('another is asked when that one goes', async () => {
    const { says, called, check } = world('answers', 'UNAVAILABLE');
    await check();
    [says[0], says[1]] = ['UNAVAILABLE', 'answers'];
    await check();
    expect(called).toEqual([0, 0, 1]);
  });

  it('each is asked once, and what the last said is said', async () => {
    const { called, check } = world('UNAVAILABLE', 'DRAINING');
    await expect(check()).rejects.toMatchObject({ code: 'DRAINING' });
    expect(called).toEqual([0, 1]);
  });

  it('an answer is an answer, also a refusal', async () => {
    const { called, check } = world('PRIVACY_LEDGER_DAMAGED', 'answers');
    await expect(check()).rejects.toMatchObject({ code: 'PRIVACY_LEDGER_DAMAGED' });
    expect(called).toEqual([0]);
  });

  it('a stream is taken from another only before its first item', async () => {
    const whole = world('UNAVAILABLE', 'answers');
    expect(await Array.fromAsync(whole.watch())).toEqual([{ status: SERVING }, { status: NOT_SERVING }]);
    const broken = world('breaks', 'answers');
    await expect(Array.fromAsync(broken.watch())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(broken.called).toEqual([0]);
  });
});
