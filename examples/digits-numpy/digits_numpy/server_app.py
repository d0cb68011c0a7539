from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits_numpy import task

app = ServerApp()


def on_held_out(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    return MetricRecord(task.evaluate_arrays({name: array.numpy() for name, array in arrays.items()}))


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes = int(config["min-nodes"])
    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({name: Array(array) for name, array in task.initial_arrays().items()}),
        num_rounds=int(config["num-server-rounds"]),
        train_config=ConfigRecord({"learning-rate": float(config["learning-rate"])}),
        evaluate_fn=on_held_out,
    )
