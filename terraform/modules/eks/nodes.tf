# On-demand groups, one in each zone: a volume never leaves its zone, so the node it needs must be made there. One spot group over all
# zones for what keeps nothing.

data "aws_iam_policy_document" "node_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = data.aws_iam_policy_document.node_trust.json
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy", "AmazonSSMManagedInstanceCore"])

  role       = aws_iam_role.node.name
  policy_arn = "${local.policy_arn}/${each.key}"
}

locals {
  groups = merge(
    {
      for i in range(var.on_demand.zones) : "on-demand-${i}" => {
        capacity = "ON_DEMAND", subnets = [var.subnet_ids[i]], size = var.on_demand
      }
    },
    var.spot == null ? {} : { spot = { capacity = "SPOT", subnets = var.subnet_ids, size = var.spot } },
  )
}

resource "aws_launch_template" "node" {
  for_each = { for kind, size in { on-demand = var.on_demand, spot = var.spot } : kind => size if size != null }

  name_prefix            = "${var.name}-${each.key}-"
  update_default_version = true

  # Pods do not reach the node's own credentials: version 2 of the metadata service, and one network hop.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-${each.key}" }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_eks_node_group" "this" {
  for_each = local.groups

  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = each.value.subnets
  capacity_type   = each.value.capacity
  instance_types  = each.value.size.instance_types
  ami_type        = "AL2023_x86_64_STANDARD"

  scaling_config {
    min_size     = each.value.size.min
    desired_size = each.value.size.desired
    max_size     = each.value.size.max
  }

  update_config {
    max_unavailable = 1
  }

  launch_template {
    id      = aws_launch_template.node[each.key == "spot" ? "spot" : "on-demand"].id
    version = aws_launch_template.node[each.key == "spot" ? "spot" : "on-demand"].latest_version
  }

  labels = { "aegis.dev/capacity" = each.key == "spot" ? "spot" : "on-demand" }

  # Only pods that say they bear it land on spot nodes.
  dynamic "taint" {
    for_each = each.key == "spot" ? [1] : []

    content {
      key    = "aegis.dev/spot"
      value  = "true"
      effect = "NO_SCHEDULE"
    }
  }

  # The autoscaler's business after the first apply.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  # vpc-cni must be there before nodes: without it they never become ready.
  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.before_nodes]
}

# What cluster-autoscaler must know of a group that is scaled to nothing, and cannot see on a node of it.
resource "aws_autoscaling_group_tag" "label" {
  for_each = var.autoscaler == "cluster-autoscaler" && var.spot != null && !var.emulator ? {
    "k8s.io/cluster-autoscaler/node-template/label/aegis.dev/capacity" = "spot"
    "k8s.io/cluster-autoscaler/node-template/taint/aegis.dev/spot"     = "true:NoSchedule"
  } : {}

  autoscaling_group_name = aws_eks_node_group.this["spot"].resources[0].autoscaling_groups[0].name

  tag {
    key                 = each.key
    value               = each.value
    propagate_at_launch = false
  }
}
