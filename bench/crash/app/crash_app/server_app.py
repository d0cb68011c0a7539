import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    nodes = int(context.run_config["min-nodes"])
    # All are asked, and a round closes when all have answered; a node that fails by itself is missing from its round, no more.
    strategy = FedAvg(
        fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=nodes
    )
    zeros = {
        "identity": np.zeros(2 * nodes, dtype=np.float32),
        "weights": np.zeros(int(context.run_config["parameters"]), dtype=np.float32),
    }
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({name: Array(values) for name, values in zeros.items()}),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
