import { describe, expect, it } from 'vitest';
import { RefusalLines } from './refusal-lines.ts';

const scene = (addresses = 1_000) => {
  let now = 0;
  const lines = new RefusalLines({ monotonic: () => now }, { everyMs: 10_000, addresses });
  const refuse = (peer: string, code = 'NODE_SIGNATURE') => lines.of({ peer, code });
  const later = (ms: number): void => {
    now += ms;
  };
  return { refuse, later };
};

describe('lines about refused callers', () => {
  it('come once per code and address, then after ten seconds with the number left out', () => {
    const { refuse, later } = scene();
    expect(refuse('a')).toEqual([{ peer: 'a', code: 'NODE_SIGNATURE', suppressed: 0 }]);
    expect([refuse('a'), refuse('a')]).toEqual([[], []]);
    expect(refuse('b')).toHaveLength(1);
    expect(refuse('a', 'CONTROL_NOT_HERE')).toHaveLength(1);
    later(9_999);
    expect(refuse('a')).toEqual([]);
    later(1);
    expect(refuse('a')).toEqual([{ peer: 'a', code: 'NODE_SIGNATURE', suppressed: 3 }]);
    expect(refuse('a')).toEqual([]);
  });

  it('tell of a caller that went away when the next one is refused', () => {
    const { refuse, later } = scene();
    for (const peer of ['a', 'a', 'quiet']) refuse(peer);
    later(10_000);
    expect(refuse('b')).toEqual([
      { peer: 'a', code: 'NODE_SIGNATURE', suppressed: 1 },
      { peer: 'b', code: 'NODE_SIGNATURE', suppressed: 0 },
    ]);
  });

  it('stay few when callers come from ever new addresses', () => {
    const { refuse, later } = scene(5);
    const written = Array.from({ length: 10_000 }, (_none, n) => refuse(`address ${n}`)).flat();
    expect(written).toHaveLength(6);
    later(10_000);
    expect(refuse('address 3').map(({ suppressed }) => suppressed)).toEqual([9_994, 0]);
  });
});
