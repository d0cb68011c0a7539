"""Starts a SageMaker training job that takes part in a federation as one node.

    terraform output -json sagemaker > sagemaker.json
    aws s3 cp ca.pem s3://MODELS/sagemaker/identity/hospital-a/ca.pem --sse aws:kms …      (and node.key or invitation)
    python start_training.py --settings sagemaker.json --node hospital-a --data s3://hospital-data/ecg/ --code digits.py

Prints the job's name and ARN as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

from aws import Refused, client, exit_with, read_settings

# What train.py prints of its answers.
METRICS = ("train:loss", "train:accuracy", "evaluate:loss", "evaluate:accuracy")


def channel(name: str, uri: str) -> dict[str, Any]:
    """All objects below a prefix, on the job's disk before it begins."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+/.*", uri):
        raise Refused(f"{name}: {uri} is no address in S3 (s3://BUCKET/PREFIX/).")
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}},
    }


def job(settings: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The request to SageMaker. Raises Refused."""
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,40}", options.node):
        raise Refused(f'--node must be letters, digits and hyphens, 41 at most, not "{options.node}".')
    if options.spot and options.max_wait < options.max_run:
        raise Refused(f"--max-wait {options.max_wait} is less than --max-run {options.max_run}: a job on spot waits and runs within it.")
    hyperparameters = {"gateway": settings["gateway"], "code": options.code, "idle-seconds": str(options.idle_seconds)}
    if options.rounds:
        hyperparameters["rounds"] = str(options.rounds)
    for setting in options.set:
        name, equals, value = setting.partition("=")
        if not equals or name in hyperparameters:
            raise Refused(f"--set {setting}: NAME=VALUE of your code's own hyperparameters is meant.")
        hyperparameters[name] = value
    channels = [channel("identity", f"{settings['identity_prefix']}{options.node}/"), channel("train", options.data)]
    if options.code_uri:
        channels.append(channel("code", options.code_uri))
    request: dict[str, Any] = {
        "TrainingJobName": f"{options.node}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}",
        "RoleArn": settings["role_arn"],
        "AlgorithmSpecification": {
            "TrainingImage": settings["image"],
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": rf"aegis-metric {name}=([-0-9.e+]+);"} for name in METRICS],
        },
        "HyperParameters": hyperparameters,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": settings["output_path"], "KmsKeyId": settings["key_arn"]},
        # The node's key, if the job made one: a job that spot took away comes back as the same node.
        "CheckpointConfig": {"S3Uri": f"{settings['checkpoint_path']}{options.node}/"},
        "ResourceConfig": {"InstanceType": options.instance_type, "InstanceCount": 1, "VolumeSizeInGB": options.volume_gib},
        "VpcConfig": {"SecurityGroupIds": settings["security_group_ids"], "Subnets": settings["subnet_ids"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": options.max_run},
        "Tags": [{"Key": "aegis-node", "Value": options.node}],
    }
    if options.spot:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = options.max_wait
    return request


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start a SageMaker training job that is one node of a federation.")
    parser.add_argument("--settings", type=Path, required=True, help="what `terraform output -json sagemaker` printed")
    parser.add_argument("--node", required=True, help="name of the node: its identity lies below sagemaker/identity/NAME/")
    parser.add_argument("--data", required=True, help="s3://BUCKET/PREFIX/ of its data, the channel `train`")
    parser.add_argument("--code", default="node.py", help="file with setup(), in the image or below --code-uri")
    parser.add_argument("--code-uri", help="s3://BUCKET/PREFIX/ of the code, the channel `code`")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="hyperparameter for the code; may be repeated")
    parser.add_argument("--rounds", type=int, default=0, help="end after so many trainings (default: when there is no work)")
    parser.add_argument("--idle-seconds", type=int, default=900, help="end when no work came for so long")
    parser.add_argument("--instance-type", default="ml.m5.large")
    parser.add_argument("--volume-gib", type=int, default=30)
    parser.add_argument("--max-run", type=int, default=86400, help="seconds")
    parser.add_argument("--spot", action="store_true", help="on managed spot capacity")
    parser.add_argument("--max-wait", type=int, default=172800, help="seconds, with --spot, waiting included")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    wanted = ("role_arn", "image", "gateway", "subnet_ids", "security_group_ids", "identity_prefix", "output_path", "checkpoint_path", "key_arn")
    settings = read_settings(options.settings, "job", wanted)
    request = job(settings, options)
    answer = client("sagemaker", settings).create_training_job(**request)
    print(json.dumps({"job": request["TrainingJobName"], "arn": answer["TrainingJobArn"]}))


if __name__ == "__main__":
    exit_with(main)
