# Two keys that AWS services use for themselves: EKS for Kubernetes secrets; CloudWatch, SNS and Prometheus for logs, alarms and metrics.

data "aws_iam_policy_document" "cluster_key" {
  #checkov:skip=CKV_AWS_109:A key policy's resource "*" is the key itself, and the account must be able to manage its keys.
  #checkov:skip=CKV_AWS_111:The same.
  #checkov:skip=CKV_AWS_356:The same.
  statement {
    sid       = "Manage"
    actions   = local.manage
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  # EKS uses the key by a grant that the cluster's creator makes for it; nobody can make one for himself.
  statement {
    sid       = "Cluster"
    actions   = ["kms:CreateGrant"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid       = "ClusterRole"
    actions   = ["kms:DescribeKey", "kms:Encrypt", "kms:Decrypt"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = ["${local.role_arn}/${var.name}-cluster"]
    }
  }
}

data "aws_iam_policy_document" "operations_key" {
  #checkov:skip=CKV_AWS_109:A key policy's resource "*" is the key itself, and the account must be able to manage its keys.
  #checkov:skip=CKV_AWS_111:The same.
  #checkov:skip=CKV_AWS_356:The same.
  statement {
    sid       = "Manage"
    actions   = local.manage
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:*"]
    }
  }

  # A managed Prometheus workspace uses the key by a grant that its creator makes for it.
  statement {
    sid       = "Metrics"
    actions   = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["aps.${local.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "Alarms"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com", "sns.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

locals {
  platform = {
    cluster    = { what = "Kubernetes secrets of the cluster (envelope encryption)", policy = data.aws_iam_policy_document.cluster_key.json }
    operations = { what = "logs and alarms", policy = data.aws_iam_policy_document.operations_key.json }
  }
}

resource "aws_kms_key" "platform" {
  for_each = local.platform

  description             = "${var.name}: ${each.value.what}"
  policy                  = each.value.policy
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days

  tags = { purpose = each.key }
}

resource "aws_kms_alias" "platform" {
  for_each = aws_kms_key.platform

  name          = "alias/${var.name}/${each.key}"
  target_key_id = each.value.key_id
}
