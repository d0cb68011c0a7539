import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ConnectionPlaces } from './connection-places.ts';

const sockets = (count: number): [Socket, ...Socket[]] =>
  Array.from({ length: count }, () => new Socket()) as [Socket, ...Socket[]];

describe('places', () => {
  it('are given up by the oldest stranger, of the address that has too many or of all', () => {
    const places = new ConnectionPlaces({ connections: 4, connectionsPerAddress: 3 });
    const [a, b, c, d, e, f] = sockets(6) as [Socket, Socket, Socket, Socket, Socket, Socket];
    for (const socket of [a, b, c]) expect(places.enter(socket, '192.0.2.1')).toBeNull();
    expect(places.enter(d, '192.0.2.1')).toEqual({ socket: a, reason: 'made-room' });
    places.leave(a);
    expect(places.enter(e, '192.0.2.2')).toBeNull();
    expect(places.enter(f, '192.0.2.2')).toEqual({ socket: b, reason: 'made-room' });
    places.leave(b);
    places.leave(b);
    expect(places.size).toBe(4);
  });

  it('are kept by whoever was vouched for; when nobody else is left, the newcomer goes', () => {
    const places = new ConnectionPlaces({ connections: 10, connectionsPerAddress: 2 });
    const [a, b, c] = sockets(3) as [Socket, Socket, Socket];
    for (const socket of [a, b]) {
      places.enter(socket, '192.0.2.1');
      places.vouchFor(socket);
    }
    expect(places.isStranger(a)).toBe(false);
    expect(places.enter(c, '192.0.2.1')).toEqual({ socket: c, reason: 'too-many-from-address' });
    places.leave(c);
    expect(places.enter(c, '192.0.2.2')).toBeNull();
    expect([...places.sockets()]).toEqual([a, b, c]);
  });

  it('are none for whoever has left', () => {
    const places = new ConnectionPlaces({ connections: 1, connectionsPerAddress: 1 });
    const [a, b] = sockets(2) as [Socket, Socket];
    places.enter(a, '192.0.2.1');
    places.leave(a);
    places.vouchFor(a);
    expect(places.enter(b, '192.0.2.1')).toBeNull();
    expect(places.size).toBe(1);
  });
});
