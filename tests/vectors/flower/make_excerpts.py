"""Cut the recorded Flower conversations down to what the tests replay, without their headers and repeats.

    python3 tests/vectors/flower/make_excerpts.py FOLDER_WITH_TRANSCRIPTS

The recordings are real traffic of flwr 1.41.0 and 1.22.0 (SuperNodes, SuperLink and `flwr`), one JSON object a line,
with request and response as hexadecimal protobuf. Long repeats (empty pulls, heartbeats, later rounds) are left out.
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "transcripts"
ROUNDS = {"train": 2, "evaluate": 2, "get_parameters": 1}
ALWAYS = {"registernode", "activatenode", "createnode", "deactivatenode", "unregisternode", "deletenode", "getrun", "getfab"}


def method_of(record):
    return record["path"].rsplit("/", 1)[-1].replace("-", "").lower()


def wanted(records):
    """Keep the first messages of each type with every call that belongs to them."""
    left, message_ids, nodes, seen = dict(ROUNDS), set(), {}, set()
    objects = set()
    for record in records:
        method, req, resp = method_of(record), record.get("req") or {}, record.get("resp") or {}
        node = (req.get("node") or {}).get("node_id")
        keep = False
        if "fleet" not in record["path"].lower():
            keep = True
        elif method in ALWAYS:
            keep = method not in seen or method in ("registernode", "activatenode", "createnode")
        elif method == "pullmessages" and resp.get("messages_list"):
            metadata = resp["messages_list"][0]["metadata"]
            kind = metadata["message_type"]
            keep = left.get(kind, 0) > 0
            nodes[node] = keep
            if keep:
                left[kind] -= 1
                message_ids.add(metadata["message_id"])
        elif method in ("pullmessages", "sendnodeheartbeat"):
            keep = method not in seen
        elif method == "pushmessages":
            keep = req["messages_list"][0]["metadata"].get("reply_to_message_id") in message_ids
            nodes[node] = keep
        else:
            # An object already kept is not repeated for the next node.
            keep = nodes.get(node, False) and (method, req.get("object_id")) not in objects
            # One that was not there yet is asked for again; the answer with the content is the one to keep.
            if keep and "object_id" in req and (method == "pushobject" or resp.get("object_content")):
                objects.add((method, req["object_id"]))
        if keep:
            seen.add(method)
            yield record


def slim(record):
    keys = ("seq", "path", "status", "req_hex", "resp_hex", "resp_text", "stream", "http_version")
    kept = {key: record[key] for key in keys if key in record}
    for name, value in record.get("req_headers") or record.get("req_metadata") or []:
        if name == "flwr-package-version":
            kept["flwr_version"] = value
    return kept


def main():
    source = Path(sys.argv[1])
    TARGET.mkdir(exist_ok=True)
    for name in ("fedavg.fleet", "legacy.fleet", "v122.fleet-grpc", "fedavg.control", "tls.fleet", "tls.control",
                 "v122.control-grpc"):
        records = [json.loads(line) for line in (source / f"{name}.jsonl").read_text().splitlines()]
        lines = [json.dumps({"about": f"excerpt of {name}.jsonl", "produced_by": Path(__file__).name})]
        for record in wanted(records):
            for side in ("req", "resp"):
                assert len(record.get(f"{side}_hex") or "") == 2 * record.get(f"{side}_len", 0) or record.get("stream")
            lines.append(json.dumps(slim(record)))
        (TARGET / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
