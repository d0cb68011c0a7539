"""What a job refuses before it calls anybody, and what it tells of a failure."""

from __future__ import annotations

import importlib.util
import json
import stat
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOM.parents[1] / "clients" / "python" / "aegis_fl" / "src"))
# Its name is common: the module is loaded by its file.
spec = importlib.util.spec_from_file_location("aegis_sagemaker_train", ROOM / "train.py")
train = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = train
spec.loader.exec_module(train)


def test_hyperparameters_are_strings_and_what_is_not_ours_goes_to_the_code() -> None:
    settings = train.read_settings({"gateway": "aegis.example.org:9443", "rounds": "3", "lr": "0.1", "sagemaker_program": "train.py"})
    assert (settings.gateway, settings.code, settings.rounds, settings.idle_seconds) == ("aegis.example.org:9443", "node.py", 3, 900)
    assert settings.rest == {"lr": "0.1"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"gateway": "aegis.example.org"}, "gateway must be HOST:PORT"),
        ({"gateway": "a:70000"}, "gateway must be HOST:PORT"),
        ({"rounds": "2.5"}, "rounds must be a whole number"),
        ({"rounds": "-1"}, "rounds must be a number of at least 0"),
        ({"idle-seconds": "soon"}, 'idle-seconds must be a number of at least 1, not "soon"'),
        ({"give-up-after": "inf"}, "give-up-after must be a number"),
    ],
)
def test_wrong_hyperparameters_are_refused_by_name(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(train.JobRefused, match=words):
        train.read_settings({"gateway": "a:1", **wrong})


def test_code_is_taken_from_the_channel_before_the_image_and_needs_setup(tmp_path: Path) -> None:
    channel, image = tmp_path / "channel", tmp_path / "image"
    for folder, answer in ((channel, 1), (image, 2)):
        folder.mkdir()
        (folder / "node.py").write_text(f"def setup(channels, hyperparameters):\n    return {answer}, None\n")
    assert train.load_code("node.py", [channel, image])({}, {}) == (1, None)
    (channel / "node.py").unlink()
    assert train.load_code("node.py", [channel, image])({}, {}) == (2, None)
    (image / "empty.py").write_text("")
    for name, words in (("empty.py", "has no function setup"), ("other.py", "There is no Python file"), ("../node.py", "name of a file")):
        with pytest.raises(train.JobRefused, match=words):
            train.load_code(name, [channel, image])


def test_a_key_from_the_channel_is_kept_from_others_and_halves_are_refused(tmp_path: Path) -> None:
    channel, checkpoints, private = (tmp_path / name for name in ("identity", "checkpoints", "private"))
    channel.mkdir()
    private.mkdir()
    with pytest.raises(train.JobRefused, match=r"no ca\.pem"):
        train.identity(channel, checkpoints, private)
    (channel / "ca.pem").write_text("ca")
    assert train.identity(channel, checkpoints, private) == {"root_certificates": channel / "ca.pem", "key": checkpoints / "node.key"}
    (channel / "node.key").write_text("key")
    (channel / "node.key").chmod(0o644)
    (channel / "invitation").write_text("aegis-invite-A\n")
    options = train.identity(channel, checkpoints, private)
    assert options["invitation"] == "aegis-invite-A"
    assert options["key"].read_text() == "key" and stat.S_IMODE(options["key"].stat().st_mode) == 0o600
    (channel / "client.pem").write_text("chain")
    with pytest.raises(train.JobRefused, match="only one of client.pem and client.key"):
        train.identity(channel, checkpoints, private)


def job(base: Path, code: str, **hyperparameters: str) -> None:
    for folder in ("input/config", "input/data/code", "input/data/identity", "input/data/ecg"):
        (base / folder).mkdir(parents=True)
    (base / "input/data/code/node.py").write_text(code)
    (base / "input/data/identity/ca.pem").write_text("ca")
    (base / "input/config/hyperparameters.json").write_text(json.dumps({"gateway": "127.0.0.1:1", **hyperparameters}))


def test_an_exception_of_the_code_is_told_by_its_type_alone(tmp_path: Path, monkeypatch, capsys) -> None:
    job(tmp_path, "def setup(channels, hyperparameters):\n    raise ValueError('patient 4711 has no label')\n")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert train.main() == 1
    assert (tmp_path / "output/failure").read_text() == "The code raised ValueError; the job's log has the rest."
    assert "patient 4711" in capsys.readouterr().err


def test_the_code_is_handed_its_channels_and_hyperparameters_and_no_identity(tmp_path: Path, monkeypatch) -> None:
    job(tmp_path, "def setup(channels, hyperparameters):\n    raise ValueError(sorted(channels), hyperparameters)\n", lr="0.1")
    with pytest.raises(ValueError) as raised:
        train.run(tmp_path, tmp_path)
    assert raised.value.args == (["ecg"], {"lr": "0.1"})


def test_a_refusal_is_told_whole(tmp_path: Path, monkeypatch) -> None:
    job(tmp_path, "", gateway="nowhere")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert train.main() == 1
    assert (tmp_path / "output/failure").read_text() == 'Hyperparameter gateway must be HOST:PORT, not "nowhere".'
