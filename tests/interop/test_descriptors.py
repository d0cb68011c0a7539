"""Our Flower messages are those of every chosen release."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness.releases import ROOT, Release

NEWEST = Release.of("1.41.0")


@pytest.fixture(scope="session")
def our_descriptors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("descriptors") / "ours.binpb"
    files = sorted((ROOT / "proto" / "flwr" / "proto").glob("*.proto"))
    subprocess.run(
        [ROOT / "node_modules/.bin/protoc", "--include_imports", f"--descriptor_set_out={target}",
         f"--proto_path={ROOT / 'proto'}", *files],
        check=True,
    )
    return target


def test_wire_equals_the_release(release: Release, our_descriptors: Path) -> None:
    options = ["--complete"] if release == NEWEST else []
    checked = subprocess.run(
        [release.program("python"), ROOT / "tests/interop/descriptors.py", our_descriptors, *options],
        capture_output=True, text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
