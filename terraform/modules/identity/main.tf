# A role for each service account of the suite, and one for External Secrets.

data "aws_caller_identity" "current" {}

locals {
  # The ledger's anchor is only ever written anew: the accountant that could delete it could also forget what was spent.
  services = {
    for service, needs in {
      gateway            = { bucket = null, deletes = false }
      aggregator         = { bucket = "models", deletes = true }
      secagg             = { bucket = null, deletes = false }
      privacy-accountant = { bucket = "anchor", deletes = false }
      issuer             = { bucket = null, deletes = false }
    } : service => merge(needs, { secrets = anytrue([for readers in values(var.secret_readers) : contains(readers, service)]) })
  }

  accounts = merge(
    { for service in keys(local.services) : service => { namespace = var.namespace, name = "aegis-${service}", role = "${var.name}-aegis-${service}" } },
    var.external_secrets == null ? {} : {
      external-secrets = { namespace = var.external_secrets.namespace, name = var.external_secrets.service_account, role = "${var.name}-external-secrets" }
    },
  )

  policies = merge(
    { for service, document in data.aws_iam_policy_document.service : service => document.json if local.services[service].secrets || local.services[service].bucket != null || contains(keys(var.key_arns), "state-${service}") },
    { for document in data.aws_iam_policy_document.external_secrets : "external-secrets" => document.json },
  )

  issuer_host = var.mode == "irsa" ? trimprefix(var.oidc_issuer, "https://") : ""
}

resource "aws_iam_openid_connect_provider" "cluster" {
  count = var.mode == "irsa" ? 1 : 0

  url            = var.oidc_issuer
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "trust" {
  for_each = local.accounts

  dynamic "statement" {
    for_each = var.mode == "pod-identity" ? [1] : []

    content {
      actions = ["sts:AssumeRole", "sts:TagSession"]

      principals {
        type        = "Service"
        identifiers = ["pods.eks.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [data.aws_caller_identity.current.account_id]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [var.cluster_arn]
      }

      # The tags are set by EKS from the pod's own account: an association with another account does not open this role.
      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-namespace"
        values   = [each.value.namespace]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-service-account"
        values   = [each.value.name]
      }
    }
  }

  dynamic "statement" {
    for_each = aws_iam_openid_connect_provider.cluster

    content {
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${local.issuer_host}:sub"
        values   = ["system:serviceaccount:${each.value.namespace}:${each.value.name}"]
      }

      condition {
        test     = "StringEquals"
        variable = "${local.issuer_host}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.accounts

  name               = each.value.role
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "this" {
  for_each = local.policies

  name   = "work"
  role   = aws_iam_role.this[each.key].id
  policy = each.value
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = var.mode == "pod-identity" && !var.emulator ? local.accounts : {}

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.value.name
  role_arn        = aws_iam_role.this[each.key].arn
}
