"""Nodes that are SageMaker training jobs: terraform/sagemaker/train.py in SageMaker's layout of folders, against a real gateway."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.processes import Process, environment, wait_until
from harness.releases import EXAMPLES, ROOT

ENTRY = ROOT / "terraform" / "sagemaker" / "train.py"
SOURCE = ROOT / "clients" / "python" / "aegis_fl" / "src"


class Job:
    """A job's folders, as SageMaker lays them out, and the container's program in them."""

    def __init__(self, aegis: Aegis, base: Path, share: int, **hyperparameters: str) -> None:
        self.base = base
        channels = {name: base / "input" / "data" / name for name in ("identity", "train")}
        for folder in (*channels.values(), base / "input" / "config", base / "output"):
            folder.mkdir(parents=True)
        (channels["identity"] / "ca.pem").write_bytes(Path(aegis.server.ca).read_bytes())
        x, y = load_digits(return_X_y=True)
        np.savez(channels["train"] / "digits.npz", x=x[share::2] / 16, y=y[share::2])
        settings = {"gateway": aegis.server.address, "code": "digits.py", "idle-seconds": "60", **hyperparameters}
        (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(settings))

    def start(self) -> Process:
        env = environment(
            self.base, SAGEMAKER_BASE_DIR=str(self.base), PYTHONPATH=str(SOURCE), PYTHONDONTWRITEBYTECODE="1"
        )
        return Process(f"job-{self.base.name}", [sys.executable, str(ENTRY), "train"], self.base / "job.log", env, cwd=self.base)

    @property
    def rounds(self) -> list[dict]:
        return json.loads((self.base / "output" / "data" / "rounds.json").read_text())


def test_two_jobs_train_a_model_and_one_comes_back_as_the_same_node(aegis, cohort, folder, releases) -> None:
    cohort.be([])
    jobs = [Job(aegis, folder / f"sagemaker-{share}", share) for share in range(2)]
    for job in jobs:
        invited = aegis.json("nodes", "invite", "--name", job.base.name, "--expires", "1h")
        (job.base / "input" / "data" / "identity" / "invitation").write_text(invited["token"] + "\n")
    aegis.import_app(EXAMPLES / "digits-numpy", releases[-1])
    running = [job.start() for job in jobs]
    try:
        wait_until(lambda: len(aegis.online()) == 2, 60, "both jobs online", tuple(running))
        nodes = aegis.online()
        cli = FlwrCli(releases[-1], aegis.server, folder)
        run_id = cli.run(EXAMPLES / "digits-numpy", "num-server-rounds=2")
        log = cli.log(run_id, stream=True)

        run = aegis.run(run_id)
        assert (run["status"], run["subStatus"]) == ("finished", "completed"), log + running[0].tail()
        assert [(entry["accepted"], entry["dropped"]) for entry in run["history"]] == [(2, 0), (2, 0)]
        for job, process in zip(jobs, running, strict=True):
            process.child.send_signal(signal.SIGTERM)
            assert process.child.wait(20) == 0, process.tail()
            assert [(entry["kind"], entry["round"], entry["accepted"]) for entry in job.rounds] == [
                ("train", 1, True), ("evaluate", 1, True), ("train", 2, True), ("evaluate", 2, True),
            ]
            assert job.rounds[-1]["metrics"]["accuracy"] > job.rounds[1]["metrics"]["accuracy"] > 0.3
            assert f"aegis-metric evaluate:accuracy={job.rounds[-1]['metrics']['accuracy']:.6g};" in process.output
            assert not (job.base / "output" / "failure").exists()
        assert not aegis.online(), "a job that is stopped says goodbye"

        # Spot took the job away: SageMaker brings its checkpoints back, with other modes, and the invitation is used up.
        key = jobs[0].base / "checkpoints" / "node.key"
        key.chmod(0o644)
        again = jobs[0].start()
        running.append(again)
        wait_until(lambda: len(aegis.online()) == 1, 60, "the job online again", (again,))
        assert aegis.online() < nodes
    finally:
        for process in running:
            process.stop()


def test_a_job_that_is_not_let_in_says_why_in_its_failure_file(aegis, folder) -> None:
    job = Job(aegis, folder / "sagemaker-stranger", 0)
    process = job.start()
    assert process.child.wait(30) == 1
    failure = (job.base / "output" / "failure").read_text()
    assert "aegis nodes approve" in failure and "NODE_KEY_UNKNOWN" in failure
    assert os.stat(job.base / "checkpoints" / "node.key").st_mode & 0o077 == 0
