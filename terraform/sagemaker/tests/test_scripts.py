"""Requests to SageMaker, and what is refused before one is made. Both scripts against an emulator: make e2e-aws."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOM = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOM))
import register_model  # noqa: E402
import start_training  # noqa: E402
from aws import Refused, read_settings  # noqa: E402

SETTINGS = {
    "job": {
        "role_arn": "arn:aws:iam::111122223333:role/aegis-sagemaker",
        "image": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/aegis/sagemaker:1",
        "gateway": "aegis.example.org:443",
        "subnet_ids": ["subnet-a"],
        "security_group_ids": ["sg-a"],
        "identity_prefix": "s3://models/sagemaker/identity/",
        "output_path": "s3://models/sagemaker/output/",
        "checkpoint_path": "s3://models/sagemaker/checkpoints/",
        "key_arn": "arn:aws:kms:eu-central-1:111122223333:key/models",
    },
    "registration": {"group": "aegis-models", "bucket": "models", "key_arn": "arn:aws:kms:eu-central-1:111122223333:key/models"},
}


def options(**changed: Any) -> argparse.Namespace:
    given = {
        "node": "hospital-a", "data": "s3://hospital/ecg/", "code": "node.py", "code_uri": None, "set": [], "rounds": 0, "idle_seconds": 900,
        "instance_type": "ml.m5.large", "volume_gib": 30, "max_run": 3600, "spot": False, "max_wait": 7200,
    }  # fmt: skip
    return argparse.Namespace(**{**given, **changed})


def test_a_job_runs_in_the_vpc_with_its_own_identity_and_comes_back_from_its_checkpoints() -> None:
    request = start_training.job(SETTINGS["job"], options(spot=True, set=["lr=0.1"], rounds=3, code_uri="s3://hospital/code/"))
    uris = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in request["InputDataConfig"]}
    assert uris == {
        "identity": "s3://models/sagemaker/identity/hospital-a/", "train": "s3://hospital/ecg/", "code": "s3://hospital/code/",
    }  # fmt: skip
    assert request["HyperParameters"] == {
        "gateway": "aegis.example.org:443", "code": "node.py", "idle-seconds": "900", "rounds": "3", "lr": "0.1",
    }  # fmt: skip
    assert request["VpcConfig"] == {"SecurityGroupIds": ["sg-a"], "Subnets": ["subnet-a"]}
    assert request["CheckpointConfig"] == {"S3Uri": "s3://models/sagemaker/checkpoints/hospital-a/"}
    assert request["EnableManagedSpotTraining"] and request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert request["OutputDataConfig"]["KmsKeyId"] == SETTINGS["job"]["key_arn"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"node": "hospital a"}, "--node must be letters"),
        ({"data": "hospital/ecg"}, "train: hospital/ecg is no address in S3"),
        ({"set": ["gateway=evil:1"]}, "--set gateway=evil:1"),
        ({"set": ["lr"]}, "NAME=VALUE"),
        ({"spot": True, "max_wait": 10}, "--max-wait 10 is less than --max-run"),
    ],
)
def test_a_wrong_job_is_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        start_training.job(SETTINGS["job"], options(**wrong))


def test_settings_that_terraform_did_not_write_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "sagemaker.json"
    for text in ("", "[]", '{"job": null}', json.dumps({"other": {}})):
        file.write_text(text)
        with pytest.raises(Refused, match="terraform output -json sagemaker"):
            read_settings(file, "job", ("image",))
    file.write_text(json.dumps({"job": {"image": ""}}))
    with pytest.raises(Refused, match="has no image, role_arn in job"):
        read_settings(file, "job", ("image", "role_arn"))


def test_only_what_an_export_wrote_is_registered(tmp_path: Path) -> None:
    good = tmp_path / "model.npz"
    np.savez(good, weight=np.zeros(3, np.float32))
    assert register_model.check(good) == good.read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(good.read_bytes()[:-30])
    other = tmp_path / "model.pkl"
    other.write_bytes(b"\x80\x04")
    tensors = tmp_path / "model.safetensors"
    tensors.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    for file, words in ((cut, "no .npz file"), (other, "must be an .npz or .safetensors"), (tensors, "no .safetensors"), (tmp_path / "no.npz", "cannot be read")):
        with pytest.raises(Refused, match=words):
            register_model.check(file)
    tensors.write_bytes((2).to_bytes(8, "little") + b"{}")
    assert register_model.check(tensors)


def test_the_same_model_is_packed_to_the_same_bytes() -> None:
    files = {"statement.json": b"{}", "model.npz": b"model"}
    packed = register_model.pack(files)
    assert packed == register_model.pack(dict(reversed(files.items())))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert {entry.name: archive.extractfile(entry).read() for entry in archive} == files


def test_a_command_that_cannot_work_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOM / "register_model.py"), str(tmp_path / "model.npz"), "--settings", str(tmp_path / "none.json"), "--run", "1", "--image", "i"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
