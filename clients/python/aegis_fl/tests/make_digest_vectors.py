"""Write tests/vectors/app-digest.json: the same app bundled by several flwr releases, and the one digest all of them must give.

    python make_digest_vectors.py OUT.json RELEASE=PYTHON …     e.g. 1.41.0=.cache/flwr/1.41.0/bin/python
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SRC))

from aegis_fl.digest import app_digest, canonical_json, identity_of, tomllib  # noqa: E402

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "digest-app"
version = "1.2.3"
description = "does not count"
license = "Apache-2.0"
dependencies = ["flwr>=1.22.0", "numpy"]

[tool.flwr.app]
publisher = "aegis"

[tool.flwr.app.components]
serverapp = "digest_app.server_app:app"
clientapp = "digest_app.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 3
lr = 0.1
momentum = 1.0
tiny = 1e-05
huge = 1e300
negative = -2.5
zero = -0.0
big-int = 9007199254740993
flag = true
name = "Gr\u00f6\u00dfe \U0001f33b \\"q\\" \\\\ / \\t"

[tool.flwr.app.config.model]
hidden = 32
dropout = 0.25

[tool.flwr.federations]
default = "local"

[tool.flwr.federations.local]
address = "127.0.0.1:9093"
insecure = true
"""

SERVER = '''"""A server."""
from flwr.serverapp import ServerApp

app = ServerApp()
'''
CLIENT = SERVER.replace("server", "client").replace("Server", "Client")

APPS = {
    "plain": {"pyproject.toml": PYPROJECT, "digest_app/__init__.py": "", "digest_app/server_app.py": SERVER, "digest_app/client_app.py": CLIENT},
}
# Files that only some releases bundle: the digest must not notice them.
APPS["with-files-that-do-not-count"] = {
    **APPS["plain"],
    "LICENSE": "Apache-2.0\n",
    "digest_app/test_server.py": "assert True\n",
    "digest_app/server_test.py": "assert True\n",
    "build/lib/digest_app/server_app.py": "old\n",
    "venv/thing.py": "x = 1\n",
}
# Sorting: upper before lower case, "_" after upper case, non-ASCII last.
APPS["with-more-files"] = {
    **APPS["plain"],
    "README.md": "# Digest\n",
    "digest_app/Zebra.py": "z = 1\n",
    "digest_app/_private.py": "p = 1\n",
    "digest_app/gr\u00f6\u00dfe.py": "g = 1\n",
    "digest_app/sub/deep.py": "d = 1\n",
    "conf/settings.toml": "a = 1\n",
}
APPS["with-another-config"] = {**APPS["plain"], "pyproject.toml": PYPROJECT.replace("lr = 0.1", "lr = 0.2")}

BUILD = "import sys; from pathlib import Path; from aegis_fl.fab import build_fab; sys.stdout.buffer.write(build_fab(Path(sys.argv[1])))"


def main() -> None:
    out, releases = Path(sys.argv[1]), [argument.partition("=") for argument in sys.argv[2:]]
    cases = []
    for name, files in APPS.items():
        fabs, digests = {}, set()
        for release, _, python in releases:
            with tempfile.TemporaryDirectory() as folder:
                app = Path(folder) / "digest-app"
                for path, text in files.items():
                    (app / path).parent.mkdir(parents=True, exist_ok=True)
                    (app / path).write_text(text, encoding="utf-8")
                fab = subprocess.run([python, "-B", "-c", BUILD, str(app)], check=True, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SRC)}).stdout
            fabs[release] = {"sha256": hashlib.sha256(fab).hexdigest(), "fab": base64.b64encode(fab).decode()}
            digests.add(app_digest(fab))
        assert len(digests) == 1, (name, digests)
        identity = identity_of(tomllib.loads(files["pyproject.toml"]))
        cases.append({"name": name, "digest": digests.pop(), "canonical": canonical_json(identity), "fabs": fabs})
    assert cases[0]["digest"] == cases[1]["digest"]
    assert len({case["digest"] for case in cases}) == len(cases) - 1
    about = "Release-independent digest of a Flower app; rule in clients/python/aegis_fl/README.md. Every FAB of a case has the case's digest."
    produced_by = "clients/python/aegis_fl/tests/make_digest_vectors.py"
    out.write_text(json.dumps({"about": about, "produced_by": produced_by, "cases": cases}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
