from flwr.common import Context
from flwr.server import LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow

app = ServerApp()


@app.main()
def main(grid, context: Context) -> None:
    strategy = FedAvg(min_fit_clients=3, min_evaluate_clients=3, min_available_clients=3)
    config = ServerConfig(num_rounds=int(context.run_config["num-server-rounds"]))
    legacy = LegacyContext(context=context, config=config, strategy=strategy)
    fit = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=3, max_weight=200)
    DefaultWorkflow(fit_workflow=fit)(grid, legacy)
