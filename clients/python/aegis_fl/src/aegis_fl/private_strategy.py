"""Flower's wrappers for central differential privacy, as what a private plan needs of them.

Server-side and client-side wrappers give the same guarantee when the server clips too, and Aegis always does: both become the same plan.
"""

from __future__ import annotations

from typing import Any

from .refusal import Refusal

FIXED = ("DifferentialPrivacyServerSideFixedClipping", "DifferentialPrivacyClientSideFixedClipping")
ADAPTIVE = ("DifferentialPrivacyServerSideAdaptiveClipping", "DifferentialPrivacyClientSideAdaptiveClipping")
RATE = 0.2  # of the step that Aegis takes with an adaptive clip; also Flower's default


class Unwrapped:
    """The strategy inside, and what was around it."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self.wrapper: Any = None
        name = type(strategy).__name__
        if name not in FIXED + ADAPTIVE or not type(strategy).__module__.startswith("flwr."):
            return
        self.wrapper = strategy
        self.strategy = strategy.strategy

    def privacy(self) -> dict[str, Any] | None:
        """Keys of `aegis.privacy.`; None: nothing was wrapped. Refuses what would promise nothing."""
        wrapper = self.wrapper
        if wrapper is None:
            return None
        if not wrapper.noise_multiplier > 0:
            raise Refusal(
                "STRATEGY_UNSUPPORTED",
                f"{type(wrapper).__name__} has noise_multiplier={wrapper.noise_multiplier}: without noise nothing is private.",
                "Give it a noise multiplier, or use the strategy inside it alone.",
            )
        return {
            "clip": float(wrapper.clipping_norm),
            "noise-multiplier": self._noise(),
            "denominator": float(wrapper.num_sampled_clients),
            "adaptive-clip": float(wrapper.target_clipped_quantile) if self._adapts() else None,
        }

    def left_out(self) -> list[str]:
        wrapper = self.wrapper
        if wrapper is None:
            return []
        lines = ["weights: updates of a private run count alike (aegis.privacy.weight-max gives them weights up to a bound)"]
        if getattr(wrapper, "accountant", None) is not None:
            lines.append("accountant: Aegis keeps the budget, of the run, the data set and each node (aegis.privacy.epsilon)")
        if self._adapts():
            if wrapper.clip_norm_lr != RATE:
                lines.append(f"clip_norm_lr={wrapper.clip_norm_lr}: the clip moves with {RATE} instead")
            lines.append(
                "target_clipped_quantile: the share of updates left unclipped, as in the paper (arXiv 1905.03871); Flower counts those clipped"
            )
        return lines

    def _adapts(self) -> bool:
        return type(self.wrapper).__name__ in ADAPTIVE

    def _noise(self) -> float:
        """Of update and clip count together: the paper's z, which Flower has split by then (theorem 1)."""
        update = float(self.wrapper.noise_multiplier)
        if not self._adapts():
            return update
        count = 2.0 * float(self.wrapper.clipped_count_stddev)
        return float((update**-2 + count**-2) ** -0.5) if count > 0 else 0.0
