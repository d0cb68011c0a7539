# What each service may do in AWS. Nobody may read what another one needs: secagg has no bucket, the aggregator no anchor.

data "aws_iam_policy_document" "service" {
  for_each = local.services

  dynamic "statement" {
    for_each = each.value.secrets ? [1] : []

    content {
      sid       = "OwnSecrets"
      actions   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
      resources = [for name, readers in var.secret_readers : var.secret_arns[name] if contains(readers, each.key)]
    }
  }

  # A service seals what it keeps with keys that only KMS can unwrap.
  dynamic "statement" {
    for_each = contains(keys(var.key_arns), "state-${each.key}") ? [1] : []

    content {
      sid       = "OwnDataKeys"
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
      resources = [var.key_arns["state-${each.key}"]]
    }
  }

  dynamic "statement" {
    for_each = each.value.secrets ? [1] : []

    content {
      sid       = "SecretsKey"
      actions   = ["kms:Decrypt"]
      resources = [var.key_arns.secrets]
    }
  }

  dynamic "statement" {
    for_each = each.value.bucket == null ? [] : [each.value.bucket]

    content {
      sid       = "Objects"
      actions   = concat(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], each.value.deletes ? ["s3:DeleteObject"] : [])
      resources = ["${var.bucket_arns[statement.value]}/*"]
    }
  }

  dynamic "statement" {
    for_each = each.value.bucket == null ? [] : [each.value.bucket]

    content {
      sid       = "Bucket"
      actions   = ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning", "s3:GetBucketLocation"]
      resources = [var.bucket_arns[statement.value]]
    }
  }

  dynamic "statement" {
    for_each = each.value.bucket == null ? [] : [each.value.bucket]

    content {
      sid       = "ObjectsKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.key_arns[statement.value]]
    }
  }
}

data "aws_iam_policy_document" "external_secrets" {
  count = var.external_secrets == null ? 0 : 1

  statement {
    sid       = "Values"
    actions   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    resources = values(var.secret_arns)
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = [var.key_arns.secrets]
  }
}
