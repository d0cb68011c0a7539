from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.aegis import Aegis
from harness.cohort import Cohort
from harness.releases import Release, chosen, environment

RELEASES = chosen()
# One release more, for the long list only.
collect_ignore = [] if os.environ.get("AEGIS_ALL_RELEASES") == "1" else ["test_oldest_release.py"]


def pytest_configure() -> None:
    # Being told to end is like Ctrl-C: fixtures are torn down and every process ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `release` runs once for each chosen release; `node_commands`: those with `flwr supernode`."""
    if "release" in metafunc.fixturenames:
        metafunc.parametrize("release", RELEASES, ids=str)
    if "node_commands" in metafunc.fixturenames:
        metafunc.parametrize("node_commands", [release for release in RELEASES if release.has_supernode_commands], ids=str)


@pytest.fixture(scope="session", autouse=True)
def releases() -> list[Release]:
    """All environments are there before anything starts: an installation must not count as a slow node."""
    for release in RELEASES:
        environment(str(release))
    return RELEASES


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interop")


@pytest.fixture(scope="session")
def aegis(folder: Path) -> Iterator[Aegis]:
    """One suite for all tests: what one run leaves behind must not disturb the next."""
    suite = Aegis(folder / "aegis", "--enrolment", "registered")
    yield suite
    suite.stop()


@pytest.fixture(scope="session")
def cohort(aegis: Aegis, folder: Path) -> Iterator[Cohort]:
    """The nodes of the session. A test keeps the releases it wants online; starting a node costs seconds."""
    nodes = Cohort(aegis, folder / "nodes")
    yield nodes
    nodes.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A failed test shows what the suite and the nodes said last, and leaves no run and no busy node to the next one."""
    report = yield
    if report.when != "call" or not report.failed:
        return report
    fixtures = getattr(item, "funcargs", {})
    if isinstance(nodes := fixtures.get("cohort"), Cohort):
        report.sections.extend((node.name, node.tail(12)) for node in nodes.online)
        nodes.stop()
    if isinstance(suite := fixtures.get("aegis"), Aegis):
        report.sections.append(("aegis", suite.process.tail() + "\n" + suite.log_tail()))
        suite.stop_runs()
    return report
