mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name         = "aegis"
  logs_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/operations"
}

run "three_zones" {
  command = plan

  module {
    source = "./modules/network"
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { eu-central-1a = "10.40.64.0/18", eu-central-1b = "10.40.128.0/18", eu-central-1c = "10.40.192.0/18" }
    error_message = "Private subnets are not the last three quarters of the VPC."
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.public : zone => subnet.cidr_block } == { eu-central-1a = "10.40.0.0/20", eu-central-1b = "10.40.16.0/20", eu-central-1c = "10.40.32.0/20" }
    error_message = "Public subnets are not the first three sixteenths of the VPC."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_route.nat) == 3 && alltrue([for s in aws_subnet.public : s.map_public_ip_on_launch == false])
    error_message = "Each zone needs its own way out, and public subnets give no addresses away."
  }

  assert {
    condition     = toset(output.endpoint_services) == toset(["s3", "ecr.api", "ecr.dkr", "ec2", "eks", "eks-auth", "elasticloadbalancing", "kms", "logs", "secretsmanager", "sqs", "sts"])
    error_message = "An endpoint is missing."
  }

  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default security group must let nothing through."
  }
}

run "one_nat_gateway" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    nat           = "single"
    flow_log_days = 0
    logs_key_arn  = null
    zones         = ["eu-central-1c", "eu-central-1a", "eu-central-1b"]
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1c"] && length(aws_route.nat) == 3 && length(aws_flow_log.this) == 0
    error_message = "nat = single is one gateway in the first zone that all three route to."
  }
}

run "no_way_out" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    nat = "none"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0 && length(aws_vpc_endpoint.interface) > 0
    error_message = "nat = none must leave endpoints alone."
  }
}

run "refuses_two_zones" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.zones]
}

run "refuses_a_small_network_and_a_typo" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr          = "10.0.0.0/24"
    nat           = "singel"
    name          = "Aegis!"
    flow_log_days = 8
  }

  expect_failures = [var.cidr, var.nat, var.name, var.flow_log_days]
}

run "refuses_no_way_out_without_endpoints" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    nat                 = "none"
    interface_endpoints = ["kms"]
  }

  expect_failures = [var.interface_endpoints]
}

run "refuses_flow_logs_without_a_key" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    logs_key_arn = null
  }

  expect_failures = [aws_cloudwatch_log_group.flow]
}
