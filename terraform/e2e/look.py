"""Looks into the emulator, for main.ts.

    look.py registered PACKAGE OBJECT JOB     the package, its object and the job are there as they were asked for
    look.py prepare BUCKET GROUP              makes the group, which `emulator = true` leaves out, and lifts the bucket's policy: the
                                              emulator knows no conditions, so that "deny without TLS" is "deny" to it
    look.py write-model FILE                  an .npz of one array, as `aegis models export` writes it, without numpy
    look.py nothing-left                      no bucket, cluster, repository, secret, queue, role or network of ours is left
"""

from __future__ import annotations

import struct
import sys
import zipfile

import boto3


def registered(package: str, address: str, job: str) -> None:
    sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
    version = sagemaker.describe_model_package(ModelPackageName=package)
    assert version["ModelApprovalStatus"] == "PendingManualApproval", version
    assert version["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == address, version
    bucket, _, key = address.removeprefix("s3://").partition("/")
    stored = s3.head_object(Bucket=bucket, Key=key)
    assert stored["ServerSideEncryption"] == "aws:kms" and ":key/" in stored["SSEKMSKeyId"], stored
    training = sagemaker.describe_training_job(TrainingJobName=job)
    assert training["VpcConfig"]["Subnets"] and training["HyperParameters"]["code"] == "digits.py", training


def prepare(bucket: str, group: str) -> None:
    boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
    policy = boto3.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    assert "aws:SecureTransport" in policy, policy
    boto3.client("s3").delete_bucket_policy(Bucket=bucket)


def write_model(file: str) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<8f", *range(8))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weight.npy", array)


def nothing_left() -> None:
    left = {
        "buckets": [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]],
        "clusters": boto3.client("eks").list_clusters()["clusters"],
        "repositories": boto3.client("ecr").describe_repositories()["repositories"],
        "secrets": boto3.client("secretsmanager").list_secrets()["SecretList"],
        "queues": boto3.client("sqs").list_queues().get("QueueUrls", []),
        "topics": boto3.client("sns").list_topics()["Topics"],
        "roles": [role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"] if role["RoleName"].startswith("aegis-")],
        "networks": [vpc["VpcId"] for vpc in boto3.client("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]],
    }
    kms = boto3.client("kms")
    states = {kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] for key in kms.list_keys()["Keys"]}
    assert states <= {"PendingDeletion"}, states
    assert not any(left.values()), {kind: found for kind, found in left.items() if found}


if __name__ == "__main__":
    {"registered": registered, "prepare": prepare, "write-model": write_model, "nothing-left": nothing_left}[sys.argv[1]](*sys.argv[2:])
