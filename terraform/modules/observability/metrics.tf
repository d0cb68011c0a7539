# Amazon's own Prometheus, Grafana and CloudWatch, each by choice.

data "aws_iam_policy_document" "pod_trust" {
  for_each = local.accounts

  statement {
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

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = [each.value.service_account]
    }
  }
}

locals {
  accounts = merge(
    var.prometheus ? { collector = var.collector } : {},
    var.cloudwatch ? { cloudwatch-agent = { namespace = "amazon-cloudwatch", service_account = "cloudwatch-agent" } } : {},
  )
}

resource "aws_iam_role" "pod" {
  for_each = local.accounts

  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.pod_trust[each.key].json
}

resource "aws_cloudwatch_log_group" "prometheus" {
  count = var.prometheus ? 1 : 0

  #checkov:skip=CKV_AWS_338:A year is the default; examples/dev keeps a week because nothing in it is worth more.
  name              = "/aws/vendedlogs/prometheus/${var.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_prometheus_workspace" "this" {
  count = var.prometheus ? 1 : 0

  alias       = var.name
  kms_key_arn = var.key_arn

  logging_configuration {
    log_group_arn = "${aws_cloudwatch_log_group.prometheus[0].arn}:*"
  }
}

data "aws_iam_policy_document" "write_metrics" {
  count = length(aws_prometheus_workspace.this)

  statement {
    actions   = ["aps:RemoteWrite"]
    resources = [aws_prometheus_workspace.this[0].arn]
  }
}

resource "aws_iam_role_policy" "write_metrics" {
  count = length(aws_prometheus_workspace.this)

  name   = "write-metrics"
  role   = aws_iam_role.pod["collector"].id
  policy = data.aws_iam_policy_document.write_metrics[0].json
}

resource "aws_eks_pod_identity_association" "collector" {
  count = var.prometheus && !var.emulator ? 1 : 0

  cluster_name    = var.cluster_name
  namespace       = var.collector.namespace
  service_account = var.collector.service_account
  role_arn        = aws_iam_role.pod["collector"].arn
}

data "aws_iam_policy_document" "grafana_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["grafana.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "read_metrics" {
  count = var.grafana ? 1 : 0

  statement {
    actions   = ["aps:DescribeWorkspace", "aps:GetLabels", "aps:GetMetricMetadata", "aps:GetSeries", "aps:QueryMetrics"]
    resources = [aws_prometheus_workspace.this[0].arn]
  }

  statement {
    #checkov:skip=CKV_AWS_356:Listing workspaces has no narrower resource.
    actions   = ["aps:ListWorkspaces"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "grafana" {
  count = var.grafana ? 1 : 0

  name               = "${var.name}-grafana"
  assume_role_policy = data.aws_iam_policy_document.grafana_trust.json
}

resource "aws_iam_role_policy" "read_metrics" {
  count = var.grafana ? 1 : 0

  name   = "read-metrics"
  role   = aws_iam_role.grafana[0].id
  policy = data.aws_iam_policy_document.read_metrics[0].json
}

resource "aws_grafana_workspace" "this" {
  count = var.grafana && !var.emulator ? 1 : 0

  name                     = var.name
  account_access_type      = "CURRENT_ACCOUNT"
  authentication_providers = [var.grafana_authentication]
  permission_type          = "CUSTOMER_MANAGED"
  role_arn                 = aws_iam_role.grafana[0].arn
  data_sources             = ["PROMETHEUS"]
}

# Made here, or the agent makes them without a key and keeps them for ever.
resource "aws_cloudwatch_log_group" "insights" {
  for_each = var.cloudwatch ? toset(["application", "dataplane", "host", "performance"]) : toset([])

  #checkov:skip=CKV_AWS_338:A year is the default; examples/dev keeps a week because nothing in it is worth more.
  name              = "/aws/containerinsights/${var.cluster_name}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_iam_role_policy_attachment" "cloudwatch" {
  count = var.cloudwatch ? 1 : 0

  role       = aws_iam_role.pod["cloudwatch-agent"].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/CloudWatchAgentServerPolicy"
}

resource "aws_eks_addon" "cloudwatch" {
  count = var.cloudwatch && !var.emulator ? 1 : 0

  cluster_name                = var.cluster_name
  addon_name                  = "amazon-cloudwatch-observability"
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  pod_identity_association {
    role_arn        = aws_iam_role.pod["cloudwatch-agent"].arn
    service_account = "cloudwatch-agent"
  }

  depends_on = [aws_cloudwatch_log_group.insights, aws_iam_role_policy_attachment.cloudwatch]
}
