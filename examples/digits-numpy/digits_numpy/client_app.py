from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_numpy import task

app = ClientApp()


def data(context: Context):
    return task.node_data(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))


def received(msg: Message) -> task.Arrays:
    return {name: array.numpy() for name, array in msg.content["arrays"].items()}


@app.train()
def train(msg: Message, context: Context) -> Message:
    (x, y), _ = data(context)
    config = msg.content["config"]
    arrays = task.train(
        received(msg),
        x,
        y,
        epochs=int(context.run_config["local-epochs"]),
        learning_rate=float(config["learning-rate"]),
        seed=int(config["server-round"]),
    )
    metrics = {**task.evaluate(arrays, x, y), "num-examples": len(x)}
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    return Message(RecordDict({"arrays": record, "metrics": MetricRecord(metrics)}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    _, (x, y) = data(context)
    metrics = {**task.evaluate(received(msg), x, y), "num-examples": len(x)}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
