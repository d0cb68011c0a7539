# One KMS key for each purpose. The account's administrators may manage keys but not use them (who changes a key's policy to do so
# leaves that in CloudTrail): using a key is allowed by its own policy, to the roles named here, and then still needs their IAM policy.
# Roles are named by pattern instead of by ARN because KMS refuses a policy that names a role which does not exist yet.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  role_arn  = "arn:${local.partition}:iam::${local.account}:role"

  # Services whose own data keys are wrapped by KMS (`keys.kms` of their files): a key each, so that a stolen volume or bucket and another
  # service's role open nothing.
  stateful = ["aggregator", "privacy-accountant"]

  services = ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer"]

  # Managing a key, without using it.
  manage = [
    "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey", "kms:EnableKeyRotation",
    "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags",
    "kms:ListRetirableGrants", "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
    "kms:UpdateAlias", "kms:UpdateKeyDescription",
  ]

  # By purpose: who may use the key, and through which AWS service alone (null: directly).
  purposes = merge({
    models = {
      what  = "models and exports in S3"
      roles = concat(["${local.role_arn}/${var.name}-aegis-aggregator", "${local.role_arn}/${var.name}-sagemaker"], var.model_operators)
      via   = ["s3.${local.region}.amazonaws.com"]
    }
    anchor = {
      what  = "the anchor of the privacy ledger in S3"
      roles = ["${local.role_arn}/${var.name}-aegis-privacy-accountant"]
      via   = ["s3.${local.region}.amazonaws.com"]
    }
    secrets = {
      what  = "values in Secrets Manager"
      roles = concat([for s in local.services : "${local.role_arn}/${var.name}-aegis-${s}"], ["${local.role_arn}/${var.name}-external-secrets"])
      via   = ["secretsmanager.${local.region}.amazonaws.com"]
    }
    }, {
    for service in local.stateful : "state-${service}" => {
      what  = "data keys of ${service}"
      roles = ["${local.role_arn}/${var.name}-aegis-${service}"]
      via   = null
    }
  })
}

data "aws_iam_policy_document" "key" {
  for_each = local.purposes

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
    sid       = "Use"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = each.value.roles
    }

    dynamic "condition" {
      for_each = each.value.via == null ? [] : [each.value.via]

      content {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = condition.value
      }
    }
  }

  # Who puts a secret's value in uses the key too, through Secrets Manager.
  dynamic "statement" {
    for_each = each.key == "secrets" ? [1] : []

    content {
      sid       = "PutValues"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
      }

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = each.value.via
      }

      condition {
        test     = "ArnLike"
        variable = "aws:PrincipalArn"
        values   = length(var.secret_writers) > 0 ? var.secret_writers : ["arn:${local.partition}:iam::${local.account}:*"]
      }
    }
  }
}

resource "aws_kms_key" "this" {
  for_each = local.purposes

  description             = "${var.name}: ${each.value.what}"
  policy                  = data.aws_iam_policy_document.key[each.key].json
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days

  tags = { purpose = each.key }
}

resource "aws_kms_alias" "this" {
  for_each = aws_kms_key.this

  name          = "alias/${var.name}/${each.key}"
  target_key_id = each.value.key_id
}
