"""What both scripts share: settings that Terraform wrote, and AWS's client for Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


class Refused(Exception):
    """The command cannot do it; the text says why and what to do."""


def read_settings(file: Path, part: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """`part` of what `terraform output -json sagemaker` printed. Raises Refused, naming what is missing."""
    try:
        settings = json.loads(file.read_text())[part]
        missing = [key for key in wanted if not settings.get(key)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"{file} is not what `terraform output -json sagemaker` prints.") from None
    if missing:
        raise Refused(f"{file} has no {', '.join(missing)} in {part}; apply Terraform and write it anew.")
    return settings


def client(service: str, settings: dict[str, Any]) -> Any:
    """A client of boto3 in the region of the settings' key. AWS_ENDPOINT_URL, credentials and profile are boto3's own business."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise Refused("boto3 is not installed: pip install boto3") from None
    # Path-style addresses work with AWS and with emulators, which have no name for each bucket.
    config = Config(s3={"addressing_style": "path"}) if service == "s3" else None
    return boto3.client(service, region_name=settings["key_arn"].split(":")[3], config=config)


def exit_with(command: Any) -> None:
    """Runs it; a refusal, or AWS's, is one line and exit code 1."""
    try:
        command()
    except Refused as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        # Both of botocore's families, without importing it before it is known to be there.
        if type(error).__module__.partition(".")[0] not in ("botocore", "boto3"):
            raise
        sys.exit(f"error: AWS refused: {error}")
