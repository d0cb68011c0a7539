from __future__ import annotations

import base64
import hashlib
import json

import pytest
from conftest import ROOT

from aegis_fl.digest import app_digest, canonical_json, counts

CASES = json.loads((ROOT / "tests" / "vectors" / "app-digest.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize(("case", "release"), [(case, release) for case in CASES for release in case["fabs"]], ids=lambda value: value if isinstance(value, str) else value["name"])
def test_every_release_gives_the_digest_of_the_case(case: dict, release: str) -> None:
    fab = base64.b64decode(case["fabs"][release]["fab"])

    assert hashlib.sha256(fab).hexdigest() == case["fabs"][release]["sha256"]
    assert app_digest(fab) == case["digest"]


def test_files_that_only_some_releases_bundle_do_not_count() -> None:
    for path in ("LICENSE", "a/test_x.py", "x_test.py", "build/a.py", "lib/a.py", ".info/CONTENT", "a/__pycache__/b.py", "x.egg/y.py", "pyproject.toml", "a/"):
        assert not counts(path), path
    for path in ("a.py", "a/lib/b.py", "a/LICENSE", "a/pyproject.toml", "testing.py", "tests/data.json", "build"):
        assert counts(path), path


def test_canonical_json_keeps_integers_and_reals_apart() -> None:
    assert canonical_json({"b": 1, "a": 1.0, "\u00e9": [True, "\x7f"]}) == '{"a":1.0,"b":1,"\\u00e9":[true,"\\u007f"]}'
