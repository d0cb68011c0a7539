mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "aegis"
  vpc_id         = "vpc-1"
  subnet_ids     = ["subnet-a"]
  gateway        = "aegis.example.org:9443"
  gateway_cidrs  = ["203.0.113.0/24"]
  training_image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/aegis/sagemaker:1"
  models_bucket  = { name = "aegis-models", arn = "arn:aws:s3:::aegis-models", key_arn = "arn:aws:kms:eu-central-1:111122223333:key/models" }
  training_data  = [{ bucket_arn = "arn:aws:s3:::hospital", prefix = "ecg/", key_arn = "arn:aws:kms:eu-central-1:111122223333:key/hospital" }]
}

run "a_node_that_calls_out" {
  module {
    source = "./modules/sagemaker"
  }

  assert {
    condition     = output.training_role_name == "aegis-sagemaker"
    error_message = "The role has another name than the key policy expects, see tests/data.tftest.hcl."
  }

  assert {
    condition     = { for cidr, rule in aws_vpc_security_group_egress_rule.gateway : cidr => rule.from_port } == { "203.0.113.0/24" = 9443 } && aws_vpc_security_group_egress_rule.aws.from_port == 443
    error_message = "Jobs reach the gateway's port and AWS, and nothing else."
  }

  # Models lie in the bucket's root and below packages/: a training job reads neither.
  assert {
    condition = alltrue(flatten([
      for s in data.aws_iam_policy_document.training.statement : [
        for r in s.resources : startswith(r, "arn:aws:s3:::aegis-models/sagemaker/") || r == "arn:aws:s3:::aegis-models" || startswith(r, "arn:aws:s3:::hospital")
      ] if length(setintersection(s.actions, ["s3:GetObject", "s3:PutObject", "s3:ListBucket"])) > 0
    ]))
    error_message = "A training job could read models, or somebody else's data."
  }

  assert {
    condition     = one([for s in data.aws_iam_policy_document.training.statement : s.resources if s.sid == "Image"]) == toset(["arn:aws:ecr:eu-central-1:111122223333:repository/aegis/sagemaker"])
    error_message = "A job pulls its own image alone."
  }

  assert {
    condition     = output.registration.group == "aegis-models" && output.job.identity_prefix == "s3://aegis-models/sagemaker/identity/" && output.job.gateway == "aegis.example.org:9443"
    error_message = "The scripts' settings are wrong."
  }

  assert {
    condition     = aws_sagemaker_model_package_group.models[0].model_package_group_name == output.registration.group && length(output.left_out) == 0
    error_message = "Models are registered in a group that is not there."
  }
}

run "emulator" {
  command = plan

  module {
    source = "./modules/sagemaker"
  }

  variables {
    emulator = true
  }

  assert {
    condition     = length(aws_sagemaker_model_package_group.models) == 0 && one(output.left_out) == "aws_sagemaker_model_package_group"
    error_message = "emulator = true leaves out the group and nothing else."
  }
}

run "gateway_on_443" {
  command = plan

  module {
    source = "./modules/sagemaker"
  }

  variables {
    gateway       = "aegis.example.org:443"
    gateway_cidrs = ["0.0.0.0/0"]
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.gateway) == 0 && aws_vpc_security_group_egress_rule.aws.from_port == 443
    error_message = "EC2 refuses the same rule twice."
  }
}

run "refuses_bad_values" {
  command = plan

  module {
    source = "./modules/sagemaker"
  }

  variables {
    gateway        = "aegis.example.org"
    training_image = "docker.example.org/train:1"
    subnet_ids     = []
    gateway_cidrs  = ["everywhere"]
    training_data  = [{ bucket_arn = "arn:aws:s3:::*", prefix = "" }]
  }

  expect_failures = [var.gateway, var.training_image, var.subnet_ids, var.gateway_cidrs, var.training_data]
}
