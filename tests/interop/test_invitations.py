"""People who are invited: with a token, once, through the real door of a server that lets nobody register himself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from harness.aegis import Aegis
from harness.processes import Process, environment, wait_until
from harness.releases import EXAMPLES, ROOT, Release

sys.path.insert(0, str(ROOT / "clients" / "python" / "aegis_fl" / "src"))
import aegis_fl  # noqa: E402


def invite(aegis: Aegis, name: str) -> str:
    return aegis.json("nodes", "invite", "--name", name, "--expires", "1h")["token"]


def test_a_rest_client_and_a_python_client_come_in_once_each(aegis: Aegis, releases: list[Release], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 64), np.float32), y=np.zeros((1, 10), np.float32))
    example = str(EXAMPLES / "rest-client" / "train.py")
    token = invite(aegis, "clinic")
    arguments = [f"https://{aegis.server.address}", str(aegis.server.ca), "data.npz", token]
    command = [releases[-1].program("python"), example, *arguments]
    env = environment(tmp_path / "home")
    first = Process("rest", command, tmp_path / "first.log", env, cwd=tmp_path)
    try:
        wait_until(lambda: online_names(aegis) >= {"clinic"}, 60, "the invited client online", (first,))
        second = Process("rest", command, tmp_path / "second.log", env, cwd=tmp_path)
        wait_until(lambda: not second.alive, 60, "the second to be refused")
        assert "INVITATION_REFUSED" in second.output
    finally:
        first.stop()

    token = invite(aegis, "office")
    met = client(aegis, tmp_path / "own.key", token, {"ecg": "2026-11"}).run(idle=3)
    assert met == []
    assert consents(aegis) == [("purpose:ecg", "2026-11", True)]
    client(aegis, tmp_path / "own.key", token, {}).run(idle=3)
    assert consents(aegis) == [("purpose:ecg", "2026-11", False)]
    with pytest.raises(aegis_fl.NotEnrolled, match="aegis nodes invite"):
        client(aegis, tmp_path / "another.key", token).run(idle=60)
    states = {one["name"]: one["state"] for one in aegis.json("nodes", "invitations")}
    assert (states["clinic"], states["office"]) == ("used", "used")


def client(aegis: Aegis, key: Path, invitation: str, consent: dict[str, str] | None = None) -> aegis_fl.Client:
    made = aegis_fl.Client(
        aegis.server.address, root_certificates=aegis.server.ca, key=key, invitation=invitation, consent=consent, progress=False
    )
    made.evaluate(lambda model, config: {})
    return made


def consents(aegis: Aegis) -> list[tuple[str, str, bool]]:
    return [(one["to"], one["version"], one["given"]) for one in aegis.json("consent", "ls")]


def online_names(aegis: Aegis) -> set[str]:
    return {node["name"] for node in aegis.nodes() if node["state"] == "online"}
