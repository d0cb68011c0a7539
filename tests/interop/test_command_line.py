"""What a Flower user types, in each release that has the command."""

from __future__ import annotations

from harness.flwr_cli import FlwrCli
from harness.keys import make_key
from harness.processes import wait_until
from harness.releases import APPS


def test_runs_are_listed_followed_and_stopped(aegis, cohort, folder, release) -> None:
    """No node is needed: a run that waits for nodes can be seen and stopped."""
    cohort.be([])
    aegis.import_app(APPS / "fedavg_msg", release)
    cli = FlwrCli(release, aegis.server, folder)

    run_id = cli.run(APPS / "fedavg_msg")

    listed = cli.list_runs(run_id)[0]
    assert (listed["fab-id"], listed["fab-version"]) == ("aegis/fedavg-msg", "1.0.0")
    assert not listed["status"].startswith("finished")
    assert cli.stop(run_id)["success"]
    wait_until(lambda: cli.status(run_id) == "finished:stopped", 60, "the run to stop")
    assert cli.log(run_id, stream=True, seconds=30).strip()
    refused = cli.call("stop", str(run_id), *cli.where)
    assert "RUN_FINISHED" in refused.stdout, refused.stdout  # up to 1.22 the exit code is 0 all the same


def test_app_without_a_plan_is_refused_with_the_command_to_type(aegis, folder, release, tmp_path) -> None:
    """The app differs from the known one in a single file."""
    cli = FlwrCli(release, aegis.server, tmp_path)
    copy = cli.use(APPS / "fedavg_msg")
    with (copy / "fedavg_msg" / "task.py").open("a") as source:
        source.write("# changed\n")

    refused = cli.call("run", str(copy), "aegis")

    assert "aegis app import" in refused.stdout, refused.stdout


def test_nodes_are_registered_listed_and_unregistered(aegis, folder, node_commands, tmp_path) -> None:
    cli = FlwrCli(node_commands, aegis.server, folder)
    key = make_key(tmp_path, "key")

    node_id = int(cli.register_node(key.public)["node-id"])

    assert {int(node["node-id"]): node["status"] for node in cli.list_nodes()}[node_id] == "registered"
    again = cli.call("supernode", "register", str(key.public), *cli.where)
    # Some releases print our text, others their own for the same refusal.
    assert again.returncode != 0 and ("NODE_KEY_IN_USE" in again.stdout or "already in use" in again.stdout), again.stdout
    cli.unregister_node(node_id)
    left = {int(node["node-id"]): node["status"] for node in cli.list_nodes()}
    assert left.get(node_id, "unregistered") == "unregistered"  # flwr's own server keeps naming it
