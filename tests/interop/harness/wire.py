"""The way between a client and the server, which a test can watch and block."""

from __future__ import annotations

import socket
import threading

PIECE = 64 << 10


class Wire:
    """Passes TCP connections on to `address`. `carried` counts the bytes that went towards the server."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = 0
        self._until: int | None = None
        self.blocked = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def block_after(self, size: int) -> None:
        """From `size` more bytes on nothing gets through; `blocked` tells when."""
        self.blocked.clear()
        self._until = self.carried + size

    def open(self) -> None:
        """Connections from now on get through; those that were blocked never will."""
        self._until = None

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._pass_on, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while piece := source.recv(PIECE):
                if counted:
                    if self._until is not None and self.carried >= self._until:
                        self.blocked.set()
                        break
                    self.carried += len(piece)
                target.sendall(piece)
        except OSError:
            pass
        if counted and self._until is not None:
            return  # both ends stay open, and silent
        for end in (source, target):
            end.close()
