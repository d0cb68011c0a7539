"""flwr 1.20: its command speaks the service `Exec`, and it cannot import an app; a legacy app runs nevertheless."""

from __future__ import annotations

from harness.flwr_cli import FlwrCli
from harness.releases import APPS, Release
from test_results import assert_reference

OLDEST, NEWEST = Release.of("1.20.0"), Release.of("1.41.0")


def test_legacy_app_imported_by_the_newest_release_runs_on_the_oldest(aegis, cohort, folder) -> None:
    cohort.be([OLDEST, OLDEST])
    aegis.import_app(APPS / "legacy_numpy", NEWEST)
    cli = FlwrCli(OLDEST, aegis.server, folder)

    run_id = cli.run(APPS / "legacy_numpy")
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    assert_reference(aegis.model(run_id, 2), "legacy_numpy", 2)
