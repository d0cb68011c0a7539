# What a training job that is a node of a federation needs, and a group in which exported models are registered. Jobs themselves are no
# resources: terraform/sagemaker/start_training.py starts one from this module's `job` output.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  account   = data.aws_caller_identity.current.account_id
  port      = tonumber(split(":", var.gateway)[1])

  group = "${var.name}-models"

  # ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG
  registry   = split(".", split("/", var.training_image)[0])
  repository = regex("^[^/]+/([^:@]+)", var.training_image)[0]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["sagemaker.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "training" {
  name               = "${var.name}-sagemaker"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "training" {
  #checkov:skip=CKV_AWS_356:Logging in to ECR and the network interfaces of a job in a VPC have no narrower resource.
  #checkov:skip=CKV_AWS_111:The same.
  #checkov:skip=CKV_AWS_109:The permission on network interfaces is what SageMaker asks for to run a job in a VPC.
  statement {
    sid       = "Identity"
    actions   = ["s3:GetObject"]
    resources = ["${var.models_bucket.arn}/sagemaker/*"]
  }

  statement {
    sid       = "Output"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${var.models_bucket.arn}/sagemaker/output/*", "${var.models_bucket.arn}/sagemaker/checkpoints/*"]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [var.models_bucket.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["sagemaker/*"]
    }
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.models_bucket.key_arn]
  }

  dynamic "statement" {
    for_each = length(var.training_data) > 0 ? [1] : []

    content {
      sid       = "Data"
      actions   = ["s3:GetObject"]
      resources = [for data in var.training_data : "${data.bucket_arn}/${data.prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = { for i, data in var.training_data : i => data }

    content {
      sid       = "ListData${statement.key}"
      actions   = ["s3:ListBucket"]
      resources = [statement.value.bucket_arn]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["${statement.value.prefix}*"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(compact(var.training_data[*].key_arn)) > 0 ? [1] : []

    content {
      sid       = "DataKeys"
      actions   = ["kms:Decrypt"]
      resources = distinct(compact(var.training_data[*].key_arn))
    }
  }

  statement {
    sid       = "Image"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:${local.partition}:ecr:${local.registry[3]}:${local.registry[0]}:repository/${local.repository}"]
  }

  statement {
    sid       = "ImageLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/sagemaker/TrainingJobs*"]
  }

  statement {
    sid       = "Metrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["/aws/sagemaker/TrainingJobs"]
    }
  }

  statement {
    sid       = "Vpc"
    resources = ["*"]

    actions = [
      "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission",
      "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
    ]
  }
}

resource "aws_iam_role_policy" "training" {
  name   = "train"
  role   = aws_iam_role.training.id
  policy = data.aws_iam_policy_document.training.json
}

# A node calls out and is never called.
resource "aws_security_group" "training" {
  #checkov:skip=CKV2_AWS_5:Training jobs use it; they are started by terraform/sagemaker/start_training.py, not by Terraform.
  name_prefix = "${var.name}-sagemaker-"
  description = "Training jobs: out to the gateway and to AWS over HTTPS, nothing in"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-sagemaker" }

  lifecycle {
    create_before_destroy = true
  }
}

# With the gateway on 443 the rule for AWS below lets jobs reach it; a second one could be the same, which EC2 refuses.
resource "aws_vpc_security_group_egress_rule" "gateway" {
  for_each = local.port == 443 ? toset([]) : toset(var.gateway_cidrs)

  security_group_id = aws_security_group.training.id
  description       = "To the gateway"
  cidr_ipv4         = each.value
  from_port         = local.port
  to_port           = local.port
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.training.id
  description       = "To S3 and other AWS endpoints"
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_sagemaker_model_package_group" "models" {
  count = var.emulator ? 0 : 1

  model_package_group_name        = local.group
  model_package_group_description = "Models that a federation trained with Aegis, as registered by terraform/sagemaker/register_model.py"
}

# For the roles of people who register models: attach it, and name the role in the data module's model_operators.
data "aws_iam_policy_document" "register" {
  statement {
    sid       = "Upload"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${var.models_bucket.arn}/packages/*"]
  }

  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.models_bucket.key_arn]
  }

  statement {
    sid     = "Register"
    actions = ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:DescribeModelPackageGroup"]

    resources = [
      "arn:${local.partition}:sagemaker:${local.region}:${local.account}:model-package-group/${local.group}",
      "arn:${local.partition}:sagemaker:${local.region}:${local.account}:model-package/${local.group}/*",
    ]
  }
}

resource "aws_iam_policy" "register" {
  name        = "${var.name}-register-models"
  description = "Upload exported models below packages/ and register them in ${var.name}-models"
  policy      = data.aws_iam_policy_document.register.json
}
