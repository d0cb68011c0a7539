"""The models are flwr's own: the reference values were made by flwr's SuperLink and ServerApp on the same apps."""

from __future__ import annotations

import numpy as np
import pytest

from harness.flwr_cli import FlwrCli
from harness.releases import APPS

# After 1 and 2 rounds with 2 nodes, flwr 1.41 and 1.22 alike; legacy_numpy computes the same.
REFERENCE = {
    1: ([0.53132385, -1.16304123, 0.36621594], 0.11575262),
    2: ([0.77815413, -1.64916420, 0.46796715], 0.18382451),
}
# What flwr's own server reports for round 1 of fedavg_msg.
METRICS = {"trainMetrics": ("train_loss", 0.7129244089126587), "evaluateMetrics": ("eval_loss", 1.0661168694496155)}
NAMES = {"fedavg_msg": ("w", "b"), "legacy_numpy": ("0", "1")}


def assert_reference(model: dict[str, np.ndarray], app: str, number: int) -> None:
    weights, bias = (model[name] for name in NAMES[app])
    wanted_weights, wanted_bias = REFERENCE[number]
    np.testing.assert_allclose(weights, wanted_weights, rtol=0, atol=1e-6)
    np.testing.assert_allclose(bias, wanted_bias, rtol=0, atol=1e-6)
    assert weights.dtype == bias.dtype == np.float32 and bias.shape == ()


@pytest.mark.parametrize("app", ["fedavg_msg", "legacy_numpy"])
def test_two_nodes_of_one_release_train_the_reference_model(aegis, cohort, folder, release, app) -> None:
    cohort.be([release, release])
    aegis.import_app(APPS / app, release)
    cli = FlwrCli(release, aegis.server, folder)

    run_id = cli.run(APPS / app)
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    assert_reference(aegis.model(run_id, 1), app, 1)
    assert_reference(aegis.model(run_id, 2), app, 2)
    first = aegis.run(run_id)["history"][0]
    assert (first["cohort"], first["accepted"], first["dropped"]) == (2, 2, 0)
    if app == "fedavg_msg":
        for kind, (name, value) in METRICS.items():
            assert first[kind][name] == pytest.approx(value, abs=1e-6)


def test_plan_imported_with_the_newest_release_serves_a_run_from_the_oldest(aegis, cohort, folder, releases) -> None:
    """The two releases bundle the app differently; the plan is found by the digest of its files."""
    oldest, newest = releases[0], releases[-1]
    cohort.be([newest, oldest])
    imported = aegis.import_app(APPS / "fedavg_msg", newest)
    cli = FlwrCli(oldest, aegis.server, folder)

    run_id = cli.run(APPS / "fedavg_msg", "num-server-rounds=1")
    log = cli.log(run_id, stream=True)

    # 1.22 prints the first digits of the hash only
    assert not imported["appHash"].startswith(cli.list_runs(run_id)[0]["fab-hash"])
    assert cli.status(run_id) == "finished:completed", log
    assert_reference(aegis.model(run_id, 1), "fedavg_msg", 1)
