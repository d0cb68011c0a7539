from flwr.client import ClientApp, NumPyClient
from flwr.common import Context

from digits_sklearn import task


class DigitsClient(NumPyClient):
    def __init__(self, data, epochs: int) -> None:
        self.x_train, self.x_test, self.y_train, self.y_test = data
        self.epochs = epochs

    def fit(self, parameters, config):
        model = task.new_model(config["learning-rate"])
        task.set_weights(model, parameters)
        task.fit(model, self.x_train, self.y_train, self.epochs)
        return task.get_weights(model), len(self.x_train), {}

    def evaluate(self, parameters, config):
        model = task.new_model(learning_rate=1.0)
        task.set_weights(model, parameters)
        loss, accuracy = task.evaluate(model, self.x_test, self.y_test)
        return loss, len(self.x_test), {"accuracy": accuracy}


def client_fn(context: Context):
    data = task.load(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))
    return DigitsClient(data, int(context.run_config["local-epochs"])).to_client()


app = ClientApp(client_fn=client_fn)
