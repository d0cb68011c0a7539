mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name            = "aegis"
  subnet_ids      = ["subnet-a", "subnet-b", "subnet-c"]
  secrets_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/cluster"
  logs_key_arn    = "arn:aws:kms:eu-central-1:111122223333:key/operations"
}

run "private_cluster" {
  module {
    source = "./modules/eks"
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "Without public_endpoint_cidrs the Kubernetes API is private."
  }

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.secrets_key_arn
    error_message = "Kubernetes secrets are encrypted with the key that was given."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.control_plane.kms_key_id == var.logs_key_arn
    error_message = "All logs of the control plane are kept, with a key."
  }

  assert {
    condition     = output.node_groups == { on-demand-0 = "ON_DEMAND", on-demand-1 = "ON_DEMAND", on-demand-2 = "ON_DEMAND", spot = "SPOT" }
    error_message = "One on-demand group in each zone, and one of spot nodes."
  }

  assert {
    condition     = alltrue([for i in range(3) : aws_eks_node_group.this["on-demand-${i}"].subnet_ids == toset([var.subnet_ids[i]])]) && length(aws_eks_node_group.this["spot"].subnet_ids) == 3
    error_message = "An on-demand group stays in its zone; spot nodes come from anywhere."
  }

  assert {
    condition     = one(aws_eks_node_group.this["spot"].taint).key == "aegis.dev/spot" && alltrue([for i in range(3) : length(aws_eks_node_group.this["on-demand-${i}"].taint) == 0])
    error_message = "Only spot nodes are tainted."
  }

  assert {
    condition     = alltrue([for t in aws_launch_template.node : t.metadata_options[0].http_tokens == "required" && t.metadata_options[0].http_put_response_hop_limit == 1 && t.block_device_mappings[0].ebs[0].encrypted == "true"])
    error_message = "Nodes keep their credentials from pods, and their disks encrypted."
  }

  assert {
    condition     = keys(merge(aws_eks_addon.before_nodes, aws_eks_addon.after_nodes)) == ["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"] && jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "An add-on is missing, or NetworkPolicies are not enforced."
  }

  assert {
    condition     = aws_sqs_queue.interruptions.sqs_managed_sse_enabled && keys(aws_cloudwatch_event_target.interruptions) == ["health", "rebalance", "spot-interruption", "state-change"]
    error_message = "An announcement does not reach the queue."
  }

  assert {
    condition     = keys(aws_eks_pod_identity_association.controller) == ["cluster-autoscaler", "termination-handler"]
    error_message = "cluster-autoscaler needs its role and the termination handler reads the queue."
  }

  assert {
    condition     = keys(aws_autoscaling_group_tag.label) == ["k8s.io/cluster-autoscaler/node-template/label/aegis.dev/capacity", "k8s.io/cluster-autoscaler/node-template/taint/aegis.dev/spot"]
    error_message = "cluster-autoscaler cannot scale the spot group up from nothing without these tags."
  }
}

run "karpenter" {
  module {
    source = "./modules/eks"
  }

  variables {
    autoscaler            = "karpenter"
    public_endpoint_cidrs = ["203.0.113.0/24"]
    admin_role_arns       = ["arn:aws:iam::111122223333:role/admin"]
    bootstrap_admin       = false
    spot                  = null
  }

  assert {
    condition     = keys(aws_eks_pod_identity_association.controller) == ["karpenter"] && length(aws_ec2_tag.karpenter_discovery) == 1
    error_message = "Karpenter needs its role, and to find the group that its nodes get."
  }

  # Without a tag of this cluster Karpenter may only look, start from what is there, and name this one role.
  assert {
    condition = alltrue([
      for s in data.aws_iam_policy_document.karpenter.statement :
      length(s.condition) > 0 || contains(["Look", "Images", "StartFrom", "Cluster", "Queue"], s.sid)
    ])
    error_message = "Karpenter may change what is not this cluster's."
  }

  assert {
    condition     = keys(aws_eks_node_group.this) == ["on-demand-0", "on-demand-1", "on-demand-2"] && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["203.0.113.0/24"])
    error_message = "spot = null makes no spot group, and the API is open to the networks named alone."
  }

  assert {
    condition     = keys(aws_eks_access_policy_association.admin) == ["arn:aws:iam::111122223333:role/admin"] && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Administrators are those who were named."
  }
}

run "emulator" {
  module {
    source = "./modules/eks"
  }

  variables {
    emulator        = true
    admin_role_arns = ["arn:aws:iam::111122223333:role/admin"]
  }

  assert {
    condition     = length(aws_eks_addon.before_nodes) + length(aws_eks_addon.after_nodes) + length(aws_eks_pod_identity_association.controller) + length(aws_eks_access_entry.admin) + length(aws_autoscaling_group_tag.label) == 0 && length(output.left_out) == 6
    error_message = "emulator = true leaves out exactly what it says."
  }
}

run "refuses_bad_values" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    kubernetes_version    = "1.28"
    subnet_ids            = ["subnet-a"]
    public_endpoint_cidrs = ["0.0.0.0/0"]
    bootstrap_admin       = false
    on_demand             = { min = 2, desired = 1 }
    spot                  = { instance_types = ["m6i.large"] }
    autoscaler            = "karpentr"
    addon_versions        = { nginx = "1" }
    log_days              = 8
    secrets_key_arn       = "alias/key"
  }

  expect_failures = [
    var.kubernetes_version, var.subnet_ids, var.public_endpoint_cidrs, var.bootstrap_admin, var.on_demand, var.spot, var.autoscaler,
    var.addon_versions, var.log_days, var.secrets_key_arn,
  ]
}
