"""Legacy apps: `server_fn` (or the deprecated arguments of ServerApp) with a Strategy and a ServerConfig."""

from __future__ import annotations

from typing import Any

from . import records
from .message_run import unsupported
from .private_strategy import Unwrapped
from .recording import Recording
from .refusal import Refusal


class LegacyRun:
    """What start_grid was about to run."""

    records = "legacy"

    def __init__(self, strategy: Any, client_manager: Any, config: Any, server_class: type | None = None, secagg: Any = None) -> None:
        self.unwrapped = Unwrapped(strategy)
        self.strategy = self.unwrapped.strategy
        self.client_manager = client_manager
        self.server_class = server_class  # None: a workflow, which has no Server
        self.rounds = int(config.num_rounds)
        self.round_timeout = config.round_timeout
        self._secagg = secagg  # the workflow of Flower's SecAgg+, if the app trains through one
        self._parameters: Any = None
        self._asked = False

    def settings(self) -> dict[str, Any]:
        s = self.strategy
        return {
            "fraction-train": float(getattr(s, "fraction_fit", 1.0)),
            "fraction-evaluate": float(getattr(s, "fraction_evaluate", 1.0)),
            "min-train-nodes": int(getattr(s, "min_fit_clients", 2)),
            "min-evaluate-nodes": int(getattr(s, "min_evaluate_clients", 2)),
            "min-available-nodes": int(getattr(s, "min_available_clients", 2)),
            "weighted-by-key": "num-examples",
            "arrayrecord-key": "arrays",
            "configrecord-key": "config",
        }

    def secagg(self) -> list[dict[str, Any]] | None:
        """Settings of Flower's SecAgg+ by the names of its workflow; None: answers travel in the clear."""
        if self._secagg is None:
            return None
        names = ("num_shares", "reconstruction_threshold", "max_weight", "clipping_range", "quantization_range", "modulus_range")
        given = {name.replace("_", "-"): getattr(self._secagg, name) for name in names}
        return records.entries(given, type(self._secagg).__name__)

    def foreign_aggregation(self) -> list[str]:
        """Methods that decide what the model becomes and are not FedAvg's or the Server's own."""
        from flwr.server import Server
        from flwr.server.strategy import FedAvg

        foreign = [] if type(self.strategy).aggregate_fit is FedAvg.aggregate_fit else ["aggregate_fit"]
        if self.server_class is not None:
            foreign += [
                f"{self.server_class.__name__}.{method}"
                for method in ("fit", "fit_round")
                if getattr(self.server_class, method) is not getattr(Server, method)
            ]
        return foreign

    def left_out(self) -> list[str]:
        from flwr.server.strategy import FedAvg

        strategy, lines = type(self.strategy), self.unwrapped.left_out()
        if getattr(self.strategy, "evaluate_fn", None) is not None:
            lines.append("evaluate_fn: central evaluation on the server")
        elif strategy.evaluate is not FedAvg.evaluate:
            lines.append(f"{strategy.__name__}.evaluate: central evaluation on the server")
        if strategy.aggregate_evaluate is not FedAvg.aggregate_evaluate:
            lines.append(f"{strategy.__name__}.aggregate_evaluate: losses and metrics are weighted means instead")
        for setting in ("fit_metrics_aggregation_fn", "evaluate_metrics_aggregation_fn"):
            if getattr(self.strategy, setting, None) is not None:
                lines.append(f"{setting}: metrics are weighted means instead")
        if getattr(self.strategy, "accept_failures", True) is False:
            lines.append("accept_failures=False: a failed node is dropped, the round goes on")
        if self.round_timeout is not None:
            lines.append(f"ServerConfig.round_timeout={self.round_timeout}: set aegis.selection.deadline instead")
        timeout = getattr(self._secagg, "timeout", None)
        if timeout is not None:
            lines.append(f"{type(self._secagg).__name__}.timeout={timeout}: set aegis.selection.deadline and aegis.secagg.stage-seconds instead")
        return lines

    def tensors(self) -> list[records.Tensor] | None:
        """The strategy's initial parameters; None when it leaves them to a node."""
        parameters = self._initial_parameters()
        return None if parameters is None else records.tensors_of_parameters(parameters)

    def _initial_parameters(self) -> Any:
        if not self._asked:
            self._asked = True  # FedAvg hands them out once
            self._parameters = self.strategy.initialize_parameters(self.client_manager)
        return self._parameters

    def configs(self, grid: Any) -> tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
        """Fit and evaluate config of every round, from the strategy's own configure methods."""
        from flwr.common import Parameters

        settings = self.settings()
        wanted = max(settings[key] for key in ("min-train-nodes", "min-evaluate-nodes", "min-available-nodes"))
        manager = made_up_clients(max(wanted, grid.count))
        parameters = self._initial_parameters() or Parameters(tensors=[], tensor_type="numpy.ndarray")
        train, evaluate = [], []
        for number in range(1, self.rounds + 1):
            train.append(self._config("configure_fit", number, parameters, manager))
            evaluate.append(self._config("configure_evaluate", number, parameters, manager))
        return train, evaluate

    def _config(self, method: str, number: int, parameters: Any, manager: Any) -> list[dict[str, Any]]:
        where, seen = f"{method} of {type(self.strategy).__name__}, round {number}", None
        for _, instruction in getattr(self.strategy, method)(number, parameters, manager):
            if instruction.parameters.tensors != parameters.tensors:
                raise unsupported(f"{where} changes the parameters before sending them.")
            entries = records.entries(instruction.config, where)
            if seen is not None and entries != seen:
                raise unsupported(f"{where} sends different configs to different clients.")
            seen = entries
        return seen or []


def made_up_clients(count: int) -> Any:
    """A client manager that knows clients which nobody will ever call."""
    from flwr.server.client_manager import SimpleClientManager
    from flwr.server.client_proxy import ClientProxy

    class Nobody(ClientProxy):
        pass

    Nobody.__abstractmethods__ = frozenset()
    manager = SimpleClientManager()
    for i in range(count):
        manager.register(Nobody(cid=str(i + 1)))
    return manager


def watch(recording: Recording) -> None:
    """Stop where start_grid has put strategy and config together; every legacy path leads through there."""
    from flwr.server.compat import app as compat

    original = compat.init_defaults

    def init_defaults(*args: Any, **kwargs: Any) -> Any:
        server, config = original(*args, **kwargs)
        recording.stop(LegacyRun(server.strategy, server.client_manager(), config, type(server)))

    compat.init_defaults = init_defaults
    _watch_workflow(recording)


def _watch_workflow(recording: Recording) -> None:
    try:
        from flwr.server import workflow
        from flwr.server.workflow import SecAggPlusWorkflow, SecAggWorkflow
        from flwr.server.workflow.default_workflows import default_fit_workflow
    except ImportError:
        return

    def call(self: Any, grid: Any, context: Any) -> None:
        # Exactly Flower's own: what a class made of one does is its own.
        masks = type(self.fit_workflow) in (SecAggPlusWorkflow, SecAggWorkflow)
        if not masks and self.fit_workflow is not default_fit_workflow:
            name = getattr(self.fit_workflow, "__name__", type(self.fit_workflow).__name__)
            recording.stop(
                Refusal(
                    "STRATEGY_UNSUPPORTED",
                    f"The app trains through the workflow '{name}', which native mode does not run.",
                    "Use the default workflow, SecAggPlusWorkflow, or plain server_fn with FedAvg.",
                )
            )
        secagg = self.fit_workflow if masks else None
        recording.stop(LegacyRun(context.strategy, context.client_manager, context.config, secagg=secagg))

    workflow.DefaultWorkflow.__call__ = call
