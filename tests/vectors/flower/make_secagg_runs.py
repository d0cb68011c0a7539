"""What the nodes said in the recorded runs under Flower's SecAgg+, and what Flower's own server made of it.

    PYTHON_WITH_FLWR tests/vectors/flower/make_secagg_runs.py RECORDING.jsonl

The recording is real traffic of flwr 1.41.0: four SuperNodes with `secaggplus_mod`, `SecAggPlusWorkflow` on the other side; in its second run
one node fails in the third stage. `printed` is what the ServerApp printed as the aggregate; its array without dimensions is left out, because
Flower does not rescale such arrays.
"""

import base64
import json
import sys
from pathlib import Path

from flwr.proto import recorddict_pb2

TARGET = Path(__file__).resolve().parent / "secagg_runs.json"
PRINTED = [
    [0.5035672525973148, -1.1768830723842163, 0.41326247533645116],
    [0.5582512158021699, -1.218821078531363, 0.37865528756721417],
]


def plain(value):
    kind = value.WhichOneof("value")
    inner = getattr(value, kind)
    show = lambda one: one.hex() if isinstance(one, bytes) else str(one) if "int" in kind else one
    return [show(one) for one in inner.vals] if kind.endswith("_list") else show(inner)


def records(path):
    for line in Path(path).read_text().splitlines():
        call = json.loads(line)
        request, response = call.get("req") or {}, call.get("resp") or {}
        if call["path"].endswith("/push-object"):
            data, by_node = request.get("object_content"), True
        elif call["path"].endswith("/pull-object"):
            data, by_node = response.get("object_content"), False
        else:
            continue
        data = base64.b64decode(data or "")
        if data.startswith(b"ConfigRecord "):
            body = data.partition(b"\0")[2]
            items = recorddict_pb2.ConfigRecord.FromString(body).items
            yield int(request["run_id"]), int(request["node"]["node_id"]), by_node, body, {i.key: plain(i.value) for i in items}


def main():
    runs = {}
    for run_id, node, by_node, body, values in records(sys.argv[1]):
        run = runs.setdefault(run_id, {})
        stage = values.get("stage") or next((s for k, s in (("pk1", "setup"), ("dsts", "share_keys"), ("masked_params", "collect_masked_vectors"),
                                                             ("nids", "unmask")) if k in values), None)
        if stage is not None:
            entry = run.setdefault(str(node), {}).setdefault(stage, {})
            entry["answer" if by_node else "request"] = body.hex()
    runs = [run for run in runs.values() if run]
    document = {
        "about": "Bodies of the ConfigRecords `secaggplus_configs` of two recorded runs, by node and stage, in hexadecimal.",
        "produced_by": {"script": Path(__file__).name, "flwr": "1.41.0"},
        "runs": [{"printed": printed, "nodes": run} for printed, run in zip(PRINTED, runs, strict=True)],
    }
    TARGET.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
