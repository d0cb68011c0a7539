"""How stock nodes come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.aegis import Aegis
from harness.keys import make_key
from harness.processes import wait_until
from harness.supernode import SuperNode


def test_node_with_an_unregistered_key_is_turned_away(aegis, cohort, release, tmp_path) -> None:
    cohort.be([])
    node = SuperNode(release, aegis.server, tmp_path, 0, 1, make_key(tmp_path, "key"))
    try:
        wait_until(lambda: not node.alive, 60, "the node to give up")
        assert aegis.online() == set()
    finally:
        node.stop()


def test_node_that_is_asked_to_end_goes_offline_at_once(aegis, cohort, release) -> None:
    (node,) = cohort.be([release])

    node.stop()

    wait_until(lambda: aegis.online() == set(), 60, "the node to be offline")
    assert node.child.returncode == 0, node.tail()


@pytest.fixture(scope="module")
def open_suite(folder) -> Iterator[Aegis]:
    suite = Aegis(folder / "open", "--enrolment", "open")
    yield suite
    suite.stop()


def test_nodes_without_a_key_register_themselves_where_that_is_allowed(open_suite, releases, tmp_path) -> None:
    nodes = [SuperNode(release, open_suite.server, tmp_path, i, len(releases)) for i, release in enumerate(releases)]
    try:
        wait_until(lambda: len(open_suite.online()) == len(releases), 60, "all nodes online", tuple(nodes))
        dialects = {"http" if release.numbers >= (1, 40) else "grpc" for release in releases}
        assert {node["dialect"] for node in open_suite.nodes()} == dialects
    finally:
        for node in nodes:
            node.stop()
    wait_until(lambda: open_suite.online() == set(), 60, "all nodes to be gone")
