"""Nodes of a real flwr release under `secaggplus_mod`, one JSON line in and one out for each message, without a server.

In:  {"node": decimal, "object": hex of a ConfigRecord object}
Out: {"object": hex of the ConfigRecord `secaggplus_configs` of the answer} or {"error": text}

Each node trains [float32 (3,), float32 ()] from zeros: it adds its place (1 for the first it hears of, then 2 …) in steps of an eighth, and
says that it has ten times its place in examples.
"""

import json
import logging
import sys

import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.common import ConfigRecord, Context, FitIns, Message, RecordDict, ndarrays_to_parameters

try:
    from flwr.compat.common import recorddict_compat
except ImportError:
    from flwr.common import recorddict_compat

try:
    # later releases take the ends of a message from what the process was started for
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
except ImportError:
    pass

logging.disable(logging.CRITICAL)


class Node(NumPyClient):
    def __init__(self, place):
        self.place = place

    def fit(self, parameters, config):
        return [(array + np.float32(self.place / 8)).astype(np.float32) for array in parameters], 10 * self.place, {}


app = ClientApp(client_fn=lambda context: Node(context.node_config["place"]).to_client(), mods=[secaggplus_mod])
contexts = {}


def answer(node, record):
    context = contexts.setdefault(
        node, Context(run_id=1, node_id=node, node_config={"place": len(contexts) + 1}, state=RecordDict(), run_config={})
    )
    content = RecordDict()
    if record["stage"] == "collect_masked_vectors":
        zeros = ndarrays_to_parameters([np.zeros(3, np.float32), np.zeros((), np.float32)])
        content = recorddict_compat.fitins_to_recorddict(FitIns(zeros, {}), True)
    content.config_records["secaggplus_configs"] = record
    reply = app(Message(content, dst_node_id=node, message_type="train"), context)
    return reply.content.config_records["secaggplus_configs"]


print("{}", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        record = answer(int(asked["node"]), ConfigRecord.inflate(bytes.fromhex(asked["object"])))
        print(json.dumps({"object": record.deflate().hex()}), flush=True)
    except Exception as error:  # what a stock node turns into a failed task
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
