import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod

app = ClientApp()


@app.train(mods=[fixedclipping_mod])
def train(msg: Message, context: Context) -> Message:
    """Moves the weights by a vector of length 5, whatever they are."""
    w = msg.content["arrays"]["w"].numpy() + np.array([3, 0, 4], dtype=np.float32)
    arrays, metrics = ArrayRecord({"w": Array(w)}), MetricRecord({"num-examples": 10})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)
