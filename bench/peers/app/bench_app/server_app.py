"""FedAvg over `parameters` float32 values in four arrays, no evaluation."""
import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


def initial_arrays(parameters: int) -> ArrayRecord:
    """Two big layers, a small one and what is left as a bias."""
    big = parameters * 45 // 100
    small = parameters * 9 // 100
    sizes = {"layer1": big, "layer2": big, "layer3": small, "bias": parameters - 2 * big - small}
    rng = np.random.default_rng(1)
    return ArrayRecord(
        {name: Array(rng.standard_normal(size, dtype=np.float32)) for name, size in sizes.items()}
    )


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes = int(config["min-nodes"])
    strategy = FedAvg(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=nodes,
        min_evaluate_nodes=nodes,
        min_available_nodes=nodes,
    )
    strategy.start(
        grid=grid,
        initial_arrays=initial_arrays(int(config["parameters"])),
        num_rounds=int(config["num-server-rounds"]),
    )
