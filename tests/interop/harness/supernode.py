"""A stock SuperNode of a given release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .keys import NodeKey
from .processes import Process, environment, free_port
from .releases import Release


@dataclass(frozen=True)
class Server:
    """Where nodes and command lines go. Without a CA the connection is plain text."""

    address: str
    ca: Path | None


class SuperNode(Process):
    def __init__(
        self,
        release: Release,
        server: Server,
        folder: Path,
        partition: int,
        partitions: int,
        key: NodeKey | None = None,
        more: tuple[str, ...] = (),
    ) -> None:
        self.release, self.key, self.partition, self.partitions = release, key, partition, partitions
        local = str(free_port())
        command = [
            release.program("flower-supernode"),
            "--superlink",
            server.address,
            *(["--insecure"] if server.ca is None else ["--root-certificates", str(server.ca)]),
            "--node-config",
            f"partition-id={partition} num-partitions={partitions}",
            release.port_option,
            f"127.0.0.1:{local}" if release.port_option.endswith("address") else local,
        ]
        if key is not None:
            command += ["--auth-supernode-private-key", str(key.private)]
            if release.needs_public_key_file:
                command += ["--auth-supernode-public-key", str(key.public)]
        command += more
        name = f"supernode-{partition}-{release}"
        # The client app is a program of the same environment, found by PATH.
        bin_folder = Path(release.program("flower-supernode")).parent
        path = {"PATH": f"{bin_folder}:{environment(folder)['PATH']}"}
        super().__init__(name, command, folder / f"{name}.log", environment(folder / name, **path))
