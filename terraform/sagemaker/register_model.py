"""Registers a model that `aegis models export` wrote as a model package in SageMaker, to be approved by a person.

    aegis models export --run 7129 --format npz -o model.npz
    aegis models statement --run 7129 -o statement.json                                        (private runs)
    python register_model.py model.npz --settings sagemaker.json --run 7129 --image IMAGE [--statement statement.json]

The model is packed with its statement as model.tar.gz, uploaded below packages/ of the models bucket (named by its own SHA-256, so that the same
model is the same object), and registered with run, digest and size as its metadata. Prints the package's ARN as JSON. `--image` is the image that
will serve it: this script makes none.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from aws import Refused, client, exit_with, read_settings


def check(model: Path) -> bytes:
    """The model's bytes. Raises Refused for what no export wrote."""
    try:
        content = model.read_bytes()
    except OSError as error:
        raise Refused(f"{model} cannot be read: {error.strerror}.") from None
    if model.suffix == ".npz":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = archive.namelist()
                broken = archive.testzip()
        except zipfile.BadZipFile:
            raise Refused(f"{model} is no .npz file; write it with `aegis models export --format npz`.") from None
        if broken or not names or not all(name.endswith(".npy") for name in names):
            raise Refused(f"{model} is damaged, or holds something else than arrays; export it again.")
    elif model.suffix == ".safetensors":
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > len(content) - 8 or content[8:9] != b"{":
            raise Refused(f"{model} is no .safetensors file; write it with `aegis models export --format safetensors`.")
    else:
        raise Refused(f"{model} must be an .npz or .safetensors file that `aegis models export` wrote.")
    return content


def pack(files: dict[str, bytes]) -> bytes:
    """model.tar.gz, the same bytes for the same files."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def package(settings: dict[str, Any], options: argparse.Namespace, url: str, metadata: dict[str, str]) -> dict[str, Any]:
    """The request to SageMaker."""
    return {
        "ModelPackageGroupName": settings["group"],
        "ModelPackageDescription": f"Run {options.run} of an Aegis federation",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": options.image, "ModelDataUrl": url}],
            "SupportedContentTypes": [options.content_type],
            "SupportedResponseMIMETypes": [options.content_type],
            "SupportedRealtimeInferenceInstanceTypes": options.instance_type,
            "SupportedTransformInstanceTypes": options.instance_type,
        },
        "CustomerMetadataProperties": metadata,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Register an exported model as a SageMaker model package.")
    parser.add_argument("model", type=Path, help=".npz or .safetensors of `aegis models export`")
    parser.add_argument("--settings", type=Path, required=True, help="what `terraform output -json sagemaker` printed")
    parser.add_argument("--run", type=int, required=True, help="the run that made it")
    parser.add_argument("--round", type=int, help="after which round, if not the newest")
    parser.add_argument("--statement", type=Path, help="signed statement that `aegis models statement -o` wrote: what privacy the model has")
    parser.add_argument("--image", required=True, help="image that will serve it")
    parser.add_argument("--content-type", default="application/x-npy", help="what that image takes and gives")
    parser.add_argument("--instance-type", action="append", help="where it may run; may be repeated (default ml.m5.large)")
    options = parser.parse_args()
    options.instance_type = options.instance_type or ["ml.m5.large"]
    return options


def main() -> None:
    options = arguments()
    settings = read_settings(options.settings, "registration", ("group", "bucket", "key_arn"))
    content = check(options.model)
    digest = hashlib.sha256(content).hexdigest()
    files = {f"model{options.model.suffix}": content}
    metadata = {"aegis-run": str(options.run), "aegis-model-sha256": digest, "aegis-model-bytes": str(len(content))}
    if options.round is not None:
        metadata["aegis-round"] = str(options.round)
    if options.statement:
        try:
            statement = options.statement.read_bytes()
            json.loads(statement)
        except (OSError, ValueError):
            raise Refused(f"{options.statement} is not what `aegis models statement -o` writes.") from None
        files["statement.json"] = statement
        metadata["aegis-statement-sha256"] = hashlib.sha256(statement).hexdigest()
    packed = pack(files)
    key = f"packages/{options.run}/{hashlib.sha256(packed).hexdigest()}/model.tar.gz"
    client("s3", settings).put_object(
        Bucket=settings["bucket"], Key=key, Body=packed, ServerSideEncryption="aws:kms", SSEKMSKeyId=settings["key_arn"]
    )
    request = package(settings, options, f"s3://{settings['bucket']}/{key}", metadata)
    answer = client("sagemaker", settings).create_model_package(**request)
    print(json.dumps({"package": answer["ModelPackageArn"], "object": f"s3://{settings['bucket']}/{key}", "sha256": digest}))


if __name__ == "__main__":
    exit_with(main)
