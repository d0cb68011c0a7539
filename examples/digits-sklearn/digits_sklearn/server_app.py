from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg

from digits_sklearn import task


def weighted_average(metrics):
    total = sum(count for count, _ in metrics)
    return {"accuracy": sum(count * values["accuracy"] for count, values in metrics) / total}


def server_fn(context: Context) -> ServerAppComponents:
    config = context.run_config
    nodes = int(config["min-nodes"])
    rate = float(config["learning-rate"])
    strategy = FedAvg(
        min_fit_clients=nodes,
        min_evaluate_clients=nodes,
        min_available_clients=nodes,
        initial_parameters=ndarrays_to_parameters(task.get_weights(task.new_model(rate))),
        # The rate falls from round to round.
        on_fit_config_fn=lambda number: {"learning-rate": rate / number},
        evaluate_metrics_aggregation_fn=weighted_average,
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=int(config["num-server-rounds"])))


app = ServerApp(server_fn=server_fn)
