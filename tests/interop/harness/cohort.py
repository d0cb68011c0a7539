"""Nodes with registered keys that stay up between tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .aegis import Aegis
from .keys import make_key
from .processes import wait_until
from .releases import Release
from .supernode import SuperNode


class Cohort:
    def __init__(self, aegis: Aegis, folder: Path) -> None:
        self.aegis, self.folder = aegis, folder
        self.online: list[SuperNode] = []
        self._count = 0

    def be(self, releases: Sequence[Release]) -> list[SuperNode]:
        """Exactly these nodes are online: partition i runs releases[i]. What fits is kept, the rest is stopped."""
        kept = {node.partition: node for node in self.online if self._fits(node, releases)}
        for node in self.online:
            if kept.get(node.partition) is not node:
                node.stop()
        self.online = list(kept.values())
        for partition, release in enumerate(releases):
            if partition not in kept:
                self.online.append(self.start(release, partition, len(releases)))
        self.online.sort(key=lambda node: node.partition)
        wait_until(lambda: len(self.aegis.online()) == len(releases), 60, f"{len(releases)} nodes online", tuple(self.online))
        return self.online

    def start(self, release: Release, partition: int, partitions: int) -> SuperNode:
        """One more node with a key of its own, registered before it comes."""
        self._count += 1
        folder = self.folder / f"node-{self._count}"
        key = make_key(folder, "key")
        self.aegis.approve(key)
        return SuperNode(release, self.aegis.server, folder, partition, partitions, key)

    def _fits(self, node: SuperNode, releases: Sequence[Release]) -> bool:
        return (
            node.alive
            and node.partition < len(releases)
            and node.release == releases[node.partition]
            and node.partitions == len(releases)
        )

    def stop(self) -> None:
        for node in self.online:
            node.stop()
        self.online = []
