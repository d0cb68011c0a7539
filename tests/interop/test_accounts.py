"""The stock `flwr` command with accounts: its own log-in at a real OpenID provider, roles, renewal, and tokens of operators."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.oidc import LogIn, OidcProvider
from harness.processes import wait_until
from harness.releases import APPS, Release

# Of an ID token: over before a test ends, so that commands must renew it.
SECONDS = 10
APP = APPS / "fedavg_msg"


def runner(release: Release) -> str:
    return f"ada-{release}"


@pytest.fixture(scope="module")
def suite(folder: Path, releases: list[Release]) -> Iterator[Aegis]:
    place = folder / "accounts"
    place.mkdir()
    runners = {f"u-{runner(release)}": {"preferred_username": runner(release), "groups": ["fl-run"]} for release in releases}
    people = {**runners, "u-eve": {"preferred_username": "eve", "groups": ["staff"]}}
    provider = OidcProvider(place, "aegis", SECONDS, people)
    rules = place / "accounts.yaml"
    rules.write_text(f"issuer: {provider.issuer}\nclient-id: aegis\nclock-skew-seconds: 0\nroles: {{ fl-run: runner }}\n")
    made = Aegis(place, "--enrolment", "registered", "--control", "accounts", "--accounts", str(rules))
    try:
        made.import_app(APP, releases[-1])
        yield made
    finally:
        made.stop()
        provider.stop()


def command(suite: Aegis, release: Release, folder: Path) -> FlwrCli:
    cli = FlwrCli(release, suite.server, folder, accounts=True)
    cli.use(APP)
    return cli


def actors(suite: Aegis, event: str) -> list[str]:
    return [line["actor"].partition(" at ")[0] for line in suite.json("audit", "show", "--event", event)]


def test_accounts_log_in_start_and_stop_their_runs_and_renew_their_login(suite, releases, tmp_path) -> None:
    """All log in side by side: each command waits out its provider's interval."""
    logins = [LogIn(command(suite, release, tmp_path)) for release in reversed(releases)]
    stranger = LogIn(command(suite, releases[-1], tmp_path / "eve"))
    for login in logins:
        assert "Login successful" in (said := login.approve(f"u-{runner(login.cli.release)}")), said
    assert "eve has no role here" in (said := stranger.approve("u-eve")), said
    over = time.monotonic() + SECONDS + 1

    for cli in (login.cli for login in logins):
        run_id = cli.run(APP)
        assert suite.run(run_id)["account"] == runner(cli.release)
        assert cli.stop(run_id)["success"]
    wait_until(lambda: time.monotonic() > over, SECONDS + 5, "the tokens to be over")
    for cli in (login.cli for login in logins):
        assert cli.list_runs()

    names = {f"account {runner(release)}" for release in releases}
    assert names <= set(actors(suite, "account-logged-in"))
    assert names <= set(actors(suite, "account-renewed"))
    assert "account eve" in actors(suite, "account-refused")


def test_an_operators_token_works_where_the_command_keeps_its_own(suite, releases, tmp_path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(suite.json("operators", "add", "robot", "--role", "viewer")["token"])
    for release in dict.fromkeys((releases[0], releases[-1])):
        cli = command(suite, release, tmp_path)
        where = [] if release.has_user_connections else ["--app", str(cli.use(APP))]
        login = ["aegis", "operators", "login", "--address", suite.server.address, "--token-file", str(token), *where]
        subprocess.run(login, env={**suite.env, "FLWR_HOME": str(cli.home)}, check=True, capture_output=True)
        assert isinstance(cli.list_runs(), list)

    refused = cli.call("run", str(cli.use(APP)), "aegis")
    assert "ACCOUNT_FORBIDDEN" in refused.stdout and "robot (viewer) may not: start-run" in refused.stdout, refused.stdout
    suite.json("operators", "rm", "robot")
    wait_until(lambda: cli.call("ls", *cli.where).returncode != 0, 60, "the token to be refused")
