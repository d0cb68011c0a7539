"""The importer on real apps, run by the flwr release of this environment."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

APPS = ROOT / "tests" / "interop" / "apps"
EXAMPLES = ROOT / "examples"


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_message_app_gives_arrays_config_rounds_and_settings(import_app) -> None:
    imported = import_app(APPS / "fedavg_msg")

    plan = imported.plan
    assert plan["records"] == "message"
    assert plan["app-id"] == "aegis/fedavg-msg"
    assert plan["num-server-rounds"] == 2
    assert (plan["fraction-train"], plan["min-train-nodes"], plan["min-available-nodes"]) == (1.0, 2, 2)
    assert (plan["weighted-by-key"], plan["arrayrecord-key"], plan["configrecord-key"]) == ("num-examples", "arrays", "config")
    assert plan["train-config"] == [{"round": 0, "entries": [{"key": "lr", "type": "double", "value": 0.1}]}]
    assert plan["evaluate-config"] == [{"round": 0, "entries": []}]
    assert plan["strategy"] == "fedavg" and plan["strategy-class"].endswith(".FedAvg")
    assert plan["run-config"] == {"num-server-rounds": 2, "lr": 0.1}
    assert plan["left-out"] == []
    with np.load(imported.out / "init.npz") as arrays:
        assert arrays.files == ["w", "b"]
        assert arrays["w"].dtype == np.float32 and arrays["w"].tolist() == [0, 0, 0] and arrays["b"].shape == ()
    assert json.loads((imported.out / "plan.json").read_text()) == plan
    assert json.loads((imported.out / "app.json").read_text())["app-hash"] == imported.answer["app-hash"]


def test_legacy_app_without_first_model_asks_a_node_and_keeps_each_rounds_config(import_app) -> None:
    imported = import_app(APPS / "legacy_numpy", "--run-config", "num-server-rounds=3 lr=0.5")

    plan = imported.plan
    assert plan["records"] == "legacy" and plan["initial-model"] == "node"
    assert not (imported.out / "init.npz").exists()
    assert [item["round"] for item in plan["train-config"]] == [1, 2, 3]
    assert plan["train-config"][2]["entries"] == [
        {"key": "lr", "type": "double", "value": 0.5},
        {"key": "round", "type": "sint64", "value": "3"},
        {"key": "flag", "type": "bool", "value": True},
        {"key": "name", "type": "string", "value": "x"},
        {"key": "blob", "type": "bytes", "value": "AAE="},
    ]


def test_ordinary_example_names_what_native_mode_leaves_out(import_app) -> None:
    plan = import_app(EXAMPLES / "digits-numpy").plan

    assert plan["left-out"] == ["evaluate_fn (on_held_out): central evaluation on the server"]
    assert plan["num-server-rounds"] == 6


def test_legacy_example_with_first_model_is_captured_in_order(import_app) -> None:
    pytest.importorskip("sklearn")
    imported = import_app(EXAMPLES / "digits-sklearn")

    assert imported.plan["initial-model"] == "captured"
    assert [item["entries"][0]["value"] for item in imported.plan["train-config"][:2]] == [0.1, 0.05]
    with np.load(imported.out / "init.npz") as arrays:
        assert arrays.files == ["0", "1"]
        assert arrays["0"].shape == (10, 64)


MESSAGE_APP = """
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
import numpy as np
from pathlib import Path

app = ServerApp()

{body}
"""

START = """
@app.main()
def main(grid: Grid, context: Context) -> None:
    print("starting")
    arrays = ArrayRecord({"file": Array(np.arange(4, dtype=np.int64)), "a.b": Array(np.ones((2, 3)))})
    result = Strategy(min_train_nodes=7, fraction_evaluate=0.0, weighted_by_key="n").start(
        grid, arrays, num_rounds=4, train_config=ConfigRecord({"lr": 1.0, "sizes": [1, 2]})
    )
    print(result)
"""


def test_schedule_written_into_the_config_is_captured_for_every_round(import_app, make_app) -> None:
    body = """
class Strategy(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        if server_round == 3:
            config["lr"] *= 0.5
        return super().configure_train(server_round, arrays, config, grid)
"""
    imported = import_app(make_app(MESSAGE_APP.format(body=body + START)))

    plan = imported.plan
    assert [item["entries"][0]["value"] for item in plan["train-config"]] == [1.0, 1.0, 0.5, 0.5]
    assert plan["train-config"][0]["entries"][1] == {"key": "sizes", "type": "sint64_list", "value": ["1", "2"]}
    assert (plan["min-train-nodes"], plan["fraction-evaluate"], plan["weighted-by-key"]) == (7, 0.0, "n")
    assert plan["left-out"] == []  # only a print follows
    # 1.0 would come out of JSON as an integer, so it carries its type
    assert plan["run-config"] == {"num-server-rounds": 3, "lr": {"type": "double", "value": 1.0}, "model.hidden": 8}
    with np.load(imported.out / "init.npz") as arrays:
        assert arrays.files == ["file", "a.b"]
        assert arrays["file"].tolist() == [0, 1, 2, 3]


def test_same_app_has_the_same_hash_as_the_bundle_that_flwr_run_sends(import_app, tmp_path) -> None:
    from aegis_fl.fab import build_fab

    imported = import_app(APPS / "fedavg_msg")

    assert imported.answer["app-hash"] == hashlib.sha256(build_fab(APPS / "fedavg_msg")).hexdigest()


def test_own_aggregation_is_refused_by_name_and_accepted_on_request(import_app, make_app) -> None:
    body = """
class Strategy(FedAvg):
    def aggregate_train(self, server_round, replies):
        return super().aggregate_train(server_round, replies)
"""
    app = make_app(MESSAGE_APP.format(body=body + START))

    refused = import_app(app).error
    assert refused["code"] == "STRATEGY_UNSUPPORTED"
    assert "small.server_app.Strategy has its own aggregate_train" in refused["detail"]
    assert "--as-fedavg" in refused["hint"]
    assert "aggregate_train of small.server_app.Strategy" in import_app(app, "--as-fedavg").plan["left-out"][0]


def test_other_strategies_are_refused_by_name(import_app, make_app) -> None:
    body = "from flwr.serverapp.strategy import FedMedian as Strategy\n" + START
    error = import_app(make_app(MESSAGE_APP.format(body=body))).error

    assert error["code"] == "STRATEGY_UNSUPPORTED" and "FedMedian" in error["detail"]


def test_fedprox_is_fedavg_with_one_more_config_value(import_app, make_app) -> None:
    body = "from functools import partial\nfrom flwr.serverapp.strategy import FedProx\nStrategy = partial(FedProx, proximal_mu=0.3)\n" + START
    plan = import_app(make_app(MESSAGE_APP.format(body=body))).plan

    assert {"key": "proximal-mu", "type": "double", "value": 0.3} in plan["train-config"][0]["entries"]


def test_different_configs_for_different_nodes_are_refused(import_app, make_app) -> None:
    body = """
from flwr.app import Message, RecordDict
class Strategy(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        return [Message(RecordDict({"arrays": arrays, "config": ConfigRecord({"i": i})}), i, "train") for i in (1, 2)]
"""
    error = import_app(make_app(MESSAGE_APP.format(body=body + START))).error

    assert error["code"] == "STRATEGY_UNSUPPORTED" and "different configs to different nodes" in error["detail"]


def test_app_that_sends_messages_itself_is_refused(import_app, make_app) -> None:
    body = """
from flwr.app import Message, RecordDict
@app.main()
def main(grid: Grid, context: Context) -> None:
    try:
        grid.send_and_receive([Message(RecordDict({}), node, "train") for node in grid.get_node_ids()])
    except Exception:
        pass
"""
    error = import_app(make_app(MESSAGE_APP.format(body=body))).error

    assert error["code"] == "STRATEGY_UNSUPPORTED" and "sends messages itself" in error["detail"]


WRAPPED = """
@app.main()
def main(grid: Grid, context: Context) -> None:
    from flwr.serverapp import strategy as s
    inner = FedAvg(fraction_evaluate=0.0)
    s.{wrapped}.start(grid, ArrayRecord({{"w": Array(np.zeros(3))}}), num_rounds=2)
"""


@pytest.mark.parametrize(
    ("wrapped", "privacy"),
    [
        (
            "DifferentialPrivacyServerSideFixedClipping(inner, 1.5, 0.25, 12)",
            {"clip": 0.25, "noise-multiplier": 1.5, "denominator": 12.0, "adaptive-clip": None},
        ),
        (
            "DifferentialPrivacyClientSideFixedClipping(inner, 1.5, 0.25, 12)",
            {"clip": 0.25, "noise-multiplier": 1.5, "denominator": 12.0, "adaptive-clip": None},
        ),
        (
            "DifferentialPrivacyServerSideAdaptiveClipping(inner, 1.5, 40, initial_clipping_norm=0.5, target_clipped_quantile=0.7)",
            {"clip": 0.5, "noise-multiplier": pytest.approx(1.5), "denominator": 40.0, "adaptive-clip": 0.7},
        ),
        (
            "DifferentialPrivacyClientSideAdaptiveClipping(inner, 1.5, 40)",
            {"clip": 0.1, "noise-multiplier": pytest.approx(1.5), "denominator": 40.0, "adaptive-clip": 0.5},
        ),
    ],
)
def test_wrappers_for_differential_privacy_become_a_private_plan(import_app, make_app, wrapped, privacy) -> None:
    plan = import_app(make_app(MESSAGE_APP.format(body=WRAPPED.format(wrapped=wrapped)))).plan

    assert plan["privacy"] == privacy
    assert plan["strategy"] == "fedavg" and plan["strategy-class"].endswith(wrapped.split("(")[0])
    # what a client-side wrapper tells the nodes the server tells them anew in each round
    assert plan["train-config"] == [{"round": 0, "entries": []}]
    assert any("count alike" in line for line in plan["left-out"])


def test_a_wrapper_without_noise_is_refused(import_app, make_app) -> None:
    body = WRAPPED.format(wrapped="DifferentialPrivacyServerSideFixedClipping(inner, 0.0, 0.25, 12)")
    error = import_app(make_app(MESSAGE_APP.format(body=body))).error

    assert error["code"] == "STRATEGY_UNSUPPORTED" and "without noise nothing is private" in error["detail"]


def test_what_is_not_private_has_no_word_of_it(import_app) -> None:
    assert "privacy" not in import_app(APPS / "fedavg_msg").plan


def test_code_after_start_is_named_with_its_lines(import_app, make_app) -> None:
    body = "Strategy = FedAvg\n" + START + "    np.savez('final.npz', **{'x': result})\n"
    plan = import_app(make_app(MESSAGE_APP.format(body=body))).plan

    assert len(plan["left-out"]) == 1 and "server_app.py, line 20)" in plan["left-out"][0]


def test_nothing_is_left_in_the_apps_folder(import_app, make_app) -> None:
    body = "Strategy = FedAvg\nPath('written.txt').write_text('x')\n(Path(__file__).parent / 'beside.txt').write_text('x')\n" + START
    app = make_app(MESSAGE_APP.format(body=body))
    before = files_below(app)

    assert import_app(app).code == 0
    assert files_below(app) == before


def test_app_that_waits_for_many_nodes_finds_them(import_app, make_app) -> None:
    body = """
import time
@app.main()
def main(grid: Grid, context: Context) -> None:
    while len(list(grid.get_node_ids())) < 50:
        time.sleep(0.01)
    FedAvg().start(grid, ArrayRecord({"w": Array(np.zeros(1))}), num_rounds=1)
"""
    assert import_app(make_app(MESSAGE_APP.format(body=body))).plan["num-server-rounds"] == 1


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("import a_package_that_nobody_has\n", "APP_FAILED", "needs the package 'a_package_that_nobody_has'"),
        ("@app.main()\ndef main(grid, context):\n    print('first')\n    raise ValueError('no data')\n", "APP_FAILED", "ValueError: no data (small/server_app.py, line 13)"),
        ("@app.main()\ndef main(grid, context):\n    pass\n", "NO_PUSH", "ended without sending anything"),
        ("import os\nos._exit(3)\n", "APP_FAILED", "exit code 3"),
    ],
)
def test_app_that_does_not_get_to_its_first_message_is_refused(import_app, make_app, body, code, said) -> None:
    imported = import_app(make_app(MESSAGE_APP.format(body=body)))

    assert imported.code == 1
    assert imported.error["code"] == code and said in imported.error["detail"]
    assert imported.error["hint"]
    assert not imported.out.exists()


def test_output_of_a_failing_app_is_kept(import_app, make_app) -> None:
    error = import_app(make_app(MESSAGE_APP.format(body="print('about to fail')\nraise RuntimeError('x')\n"))).error

    assert "about to fail" in error["output"]


def test_app_that_hangs_is_ended_at_the_time_limit(import_app, make_app) -> None:
    body = "import time\n@app.main()\ndef main(grid, context):\n    time.sleep(600)\n"
    error = import_app(make_app(MESSAGE_APP.format(body=body)), "--timeout", "4").error

    assert error["code"] == "APP_TIMEOUT" and "within 4 s" in error["detail"]


def test_folder_without_pyproject_is_refused(import_app, tmp_path) -> None:
    assert import_app(tmp_path).error["code"] == "APP_INVALID"


def test_app_that_flwr_cannot_build_is_refused_with_its_reason(import_app, make_app) -> None:
    app = make_app(MESSAGE_APP.format(body="x = 1\n"))
    (app / "pyproject.toml").write_text("[project]\nname = 'small'\nversion = ")

    assert import_app(app).error["code"] == "APP_INVALID"


def test_unknown_run_config_key_is_refused_but_our_own_are_kept(import_app) -> None:
    error = import_app(APPS / "fedavg_msg", "--run-config", "learning-rate=1.0").error
    assert error["code"] == "PLAN_INVALID" and "learning-rate" in error["detail"]

    plan = import_app(APPS / "fedavg_msg", "--run-config", "aegis.selection.deadline=30").plan
    assert plan["run-config"]["aegis.selection.deadline"] == 30


LEGACY_APP = """
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import LegacyContext, ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
import numpy as np

{body}
"""


def test_legacy_workflow_is_captured_like_server_fn(import_app, make_app) -> None:
    body = """
from flwr.server.workflow import DefaultWorkflow
app = ServerApp()

@app.main()
def main(grid, context: Context) -> None:
    strategy = FedAvg(fraction_fit=0.5, on_evaluate_config_fn=lambda n: {"n": n}, initial_parameters=ndarrays_to_parameters([np.ones(2)]))
    DefaultWorkflow()(grid, LegacyContext(context, config=ServerConfig(num_rounds=2), strategy=strategy))
"""
    plan = import_app(make_app(LEGACY_APP.format(body=body))).plan

    assert (plan["records"], plan["fraction-train"], plan["num-server-rounds"]) == ("legacy", 0.5, 2)
    assert [item["entries"][0]["value"] for item in plan["evaluate-config"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("workflow", "shares"), [("SecAggPlusWorkflow(3, 0.6, max_weight=200, timeout=30.0)", ("sint64", "3")), ("SecAggWorkflow(0.6, max_weight=200)", ("double", 1.0))]
)
def test_settings_of_secure_aggregation_are_captured(import_app, make_app, workflow, shares) -> None:
    body = f"""
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow, SecAggWorkflow
app = ServerApp()

@app.main()
def main(grid, context: Context) -> None:
    DefaultWorkflow(fit_workflow={workflow})(grid, LegacyContext(context))
"""
    plan = import_app(make_app(LEGACY_APP.format(body=body))).plan

    settings = {item["key"]: (item["type"], item["value"]) for item in plan["secagg"]}
    assert settings == {
        "num-shares": shares,
        "reconstruction-threshold": ("double", 0.6),
        "max-weight": ("sint64", "200"),
        "clipping-range": ("double", 8.0),
        "quantization-range": ("sint64", str(2**22)),
        "modulus-range": ("sint64", str(2**32)),
    }
    assert any("timeout=30.0" in line for line in plan["left-out"]) == ("timeout" in workflow)


def test_workflow_made_of_secure_aggregation_is_refused(import_app, make_app) -> None:
    body = """
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
app = ServerApp()

class Own(SecAggPlusWorkflow):
    pass

@app.main()
def main(grid, context: Context) -> None:
    DefaultWorkflow(fit_workflow=Own(3, 2))(grid, LegacyContext(context))
"""
    error = import_app(make_app(LEGACY_APP.format(body=body))).error

    assert error["code"] == "STRATEGY_UNSUPPORTED" and "Own" in error["detail"]


def test_legacy_strategy_that_saves_in_aggregate_fit_is_refused(import_app, make_app) -> None:
    body = """
class Saving(FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        return super().aggregate_fit(server_round, results, failures)

app = ServerApp(server_fn=lambda context: ServerAppComponents(strategy=Saving(), config=ServerConfig(num_rounds=1)))
"""
    error = import_app(make_app(LEGACY_APP.format(body=body))).error

    assert error["code"] == "STRATEGY_UNSUPPORTED" and "Saving has its own aggregate_fit" in error["detail"]


def test_missing_flwr_is_said_plainly(tmp_path) -> None:
    import subprocess
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    done = subprocess.run(
        [str(tmp_path / "bare" / "bin" / "python"), "-m", "aegis_fl.app_import", str(APPS / "fedavg_msg"), "--out", str(tmp_path / "out")],
        env={"PYTHONPATH": str(Path(__file__).resolve().parent.parent / "src")},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("FLWR_MISSING: flwr is not installed for ")
