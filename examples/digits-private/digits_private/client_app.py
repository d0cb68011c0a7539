from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits_private import task

app = ClientApp()


def data(context: Context):
    return task.node_data(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))


def received(msg: Message) -> task.Arrays:
    return {name: array.numpy() for name, array in msg.content["arrays"].items()}


@app.train()
def train(msg: Message, context: Context) -> Message:
    x, y = data(context)
    config = context.run_config
    arrays = task.train(received(msg), x, y, int(config["local-epochs"]), float(config["learning-rate"]))
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    metrics = MetricRecord({"num-examples": len(x)})
    return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    x, y = data(context)
    metrics = {**task.evaluate(received(msg), x, y), "num-examples": len(x)}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
