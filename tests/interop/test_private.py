"""Private runs with nodes that clip by themselves, with Flower's own mods and Flower's own wrapper around the strategy."""

from __future__ import annotations

import numpy as np

from harness.flwr_cli import FlwrCli
from harness.releases import APPS


def private_run(aegis, cohort, folder, release, app: str) -> tuple[int, str]:
    cohort.be([release, release])
    # the nodes are the same in all tests, and their budgets know it
    aegis.json("budget", "set", "dataset", app, "--epsilon", "1000")
    aegis.json("budget", "set", "unit", "--epsilon", "1000")
    aegis.import_app(APPS / app, release)
    cli = FlwrCli(release, aegis.server, folder)
    run_id = cli.run(APPS / app, f'aegis.privacy.epsilon=1000.0 aegis.privacy.dataset="{app}"')
    log = cli.log(run_id, stream=True)
    assert cli.status(run_id) == "finished:completed", log
    return run_id, log


def test_fixed_clipping_mod_is_told_the_clip(aegis, cohort, folder, releases) -> None:
    run_id, _ = private_run(aegis, cohort, folder, releases[-1], "clip_fixed_msg")
    # the mod fails a task that does not name its norm: both nodes answered
    history = aegis.run(run_id)["history"]
    assert history[0]["accepted"] == 2 and history[0]["privacy"]["clip"] == 1.0
    # a vector of length 5, clipped to 1; eight deviations of the noise
    np.testing.assert_allclose(aegis.model(run_id, 1)["w"], [0.6, 0, 0.8], rtol=0, atol=0.4)


def test_adaptive_clipping_mod_is_told_the_clip_and_its_bit_moves_it(aegis, cohort, folder, releases) -> None:
    run_id, log = private_run(aegis, cohort, folder, releases[-1], "clip_msg")

    # a vector of length 5 clipped to 1 by the nodes; the server, which clips too, finds nothing left to clip
    first, second = aegis.model(run_id, 1)["w"], aegis.model(run_id, 2)["w"]
    np.testing.assert_allclose(first, [0.6, 0, 0.8], rtol=0, atol=0.2)  # eight deviations of the noise
    # both said that they clipped: the clip grows by exp(0.2 · 0.5), up to the noise of the count
    history = aegis.run(run_id)["history"]
    assert history[0]["privacy"]["clip"] == 1.0 and 1.0 < history[1]["privacy"]["clip"] <= np.exp(0.1) + 1e-9
    # and the nodes were told: they moved by what the clip is now
    np.testing.assert_allclose(np.linalg.norm(second - first), history[1]["privacy"]["clip"], rtol=0, atol=0.2)
    # what the mod adds to the metrics is about single nodes: nobody is told
    assert "norm_bit" not in log and all(entry["trainMetrics"] == {} for entry in history)
