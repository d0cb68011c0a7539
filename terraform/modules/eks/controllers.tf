# Roles of what runs beside the suite in the cluster: the volume driver, the autoscaler, the reader of interruptions.

locals {
  cluster_arn = "arn:${local.partition}:eks:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:cluster/${var.name}"

  controllers = merge(
    # The driver's association belongs to its add-on, so that both come and go together.
    { ebs-csi = { account = null, policy = null, managed = "service-role/AmazonEBSCSIDriverPolicy" } },
    var.autoscaler == "cluster-autoscaler" ? {
      cluster-autoscaler = { account = "cluster-autoscaler", policy = data.aws_iam_policy_document.autoscaler.json, managed = null }
    } : {},
    var.autoscaler == "karpenter" ? {
      karpenter = { account = "karpenter", policy = data.aws_iam_policy_document.karpenter.json, managed = null }
      } : {
      termination-handler = { account = "aws-node-termination-handler", policy = data.aws_iam_policy_document.termination_handler.json, managed = null }
    },
  )
}

data "aws_iam_policy_document" "pod_trust" {
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

    # A role of this cluster is of no use to pods of another one.
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.cluster_arn]
    }
  }
}

resource "aws_iam_role" "controller" {
  for_each = local.controllers

  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.pod_trust.json
}

resource "aws_iam_role_policy_attachment" "controller" {
  for_each = { for name, controller in local.controllers : name => controller.managed if controller.managed != null }

  role       = aws_iam_role.controller[each.key].name
  policy_arn = "${local.policy_arn}/${each.value}"
}

resource "aws_iam_role_policy" "controller" {
  for_each = { for name, controller in local.controllers : name => controller.policy if controller.managed == null }

  name   = "work"
  role   = aws_iam_role.controller[each.key].id
  policy = each.value
}

resource "aws_eks_pod_identity_association" "controller" {
  for_each = { for name, controller in local.controllers : name => controller.account if controller.account != null && !var.emulator }

  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = each.value
  role_arn        = aws_iam_role.controller[each.key].arn
}

data "aws_iam_policy_document" "autoscaler" {
  #checkov:skip=CKV_AWS_356:Describing has no narrower resource.
  #checkov:skip=CKV_AWS_111:Writing is bound to groups with this cluster's tag.
  statement {
    sid       = "Look"
    resources = ["*"]

    actions = [
      "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags", "ec2:DescribeImages", "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions", "ec2:GetInstanceTypesFromInstanceRequirements", "eks:DescribeNodegroup",
    ]
  }

  statement {
    sid       = "Scale"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}"
      values   = ["owned"]
    }
  }
}

data "aws_iam_policy_document" "termination_handler" {
  #checkov:skip=CKV_AWS_356:Describing has no narrower resource.
  statement {
    sid       = "Look"
    actions   = ["autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeTags", "ec2:DescribeInstances"]
    resources = ["*"]
  }

  statement {
    sid       = "Queue"
    actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.interruptions.arn]
  }
}
