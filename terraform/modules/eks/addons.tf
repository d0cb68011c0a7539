# Add-ons in two steps: some must be there before the first node, others need nodes to run on.

locals {
  addons = {
    before = {
      # NetworkPolicies are the suite's inner walls: without this they are accepted and do nothing.
      vpc-cni                = jsonencode({ enableNetworkPolicy = "true" })
      kube-proxy             = null
      eks-pod-identity-agent = null
    }
    after = {
      coredns        = null
      metrics-server = null
      # A default storage class, so that the chart's volumes need no word about it.
      aws-ebs-csi-driver = jsonencode({ defaultStorageClass = { enabled = true } })
    }
  }
}

resource "aws_eks_addon" "before_nodes" {
  for_each = var.emulator ? {} : local.addons.before

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  configuration_values        = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
}

resource "aws_eks_addon" "after_nodes" {
  for_each = var.emulator ? {} : local.addons.after

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  configuration_values        = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = each.key == "aws-ebs-csi-driver" ? [1] : []

    content {
      role_arn        = aws_iam_role.controller["ebs-csi"].arn
      service_account = "ebs-csi-controller-sa"
    }
  }

  depends_on = [aws_eks_node_group.this]
}
