"""Build the bundle that `flwr run` of the installed release would upload."""

from __future__ import annotations

from pathlib import Path

from .refusal import Refusal


def build_fab(app: Path) -> bytes:
    """Return the FAB of an app folder, byte for byte as the installed flwr makes it."""
    from flwr.cli import build

    try:
        if hasattr(build, "build_fab_from_disk"):  # 1.24 and newer
            fab = build.build_fab_from_disk(app)
        else:  # 1.22, 1.23
            fab = build.build_fab(app)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever flwr's command line raises, also click's own
        detail = getattr(error, "message", None) or str(error) or type(error).__name__
        raise Refusal(
            "APP_INVALID",
            f"flwr cannot build the app in {app}: {detail}",
            "Make `flwr build` succeed in that folder first.",
        ) from error
    return fab[0] if isinstance(fab, tuple) else fab
