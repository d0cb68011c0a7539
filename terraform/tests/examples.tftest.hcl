# Both examples whole, with AWS's answers made up: every module fits the others, and the chart gets what it needs.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "production" {
  module {
    source = "./examples/production"
  }

  variables {
    region             = "eu-central-1"
    admin_role_arns    = ["arn:aws:iam::111122223333:role/admin"]
    gateway_host       = "aegis.example.org"
    image_tag          = "0.1.0"
    alarm_emails       = ["ops@example.org"]
    monthly_budget_usd = 1500
  }

  assert {
    condition     = output.helm_values.image.registry == "111122223333.dkr.ecr.eu-central-1.amazonaws.com" && output.helm_values.aggregator.serviceAccount.name == "aegis-aggregator" && output.helm_values.nats.replicas == 3
    error_message = "The chart does not get registry, service accounts and replicas."
  }

  assert {
    condition     = alltrue([for service in [output.helm_values.aggregator, output.helm_values.privacyAccountant, output.helm_values.issuer, output.helm_values.nats] : service.nodeSelector["aegis.dev/capacity"] == "on-demand"])
    error_message = "What keeps something must not be on nodes that AWS takes back."
  }

  assert {
    condition     = output.helm_values.secrets.mode == "external-secrets" && output.helm_values.secrets.externalSecrets.prefix == "aegis" && output.helm_values.secrets.externalSecrets.storeName == "aws-secrets-manager"
    error_message = "Keys come from Secrets Manager in production."
  }

  assert {
    condition     = module.network.zones == tolist(["eu-central-1a", "eu-central-1b", "eu-central-1c"]) && length(module.network.nat_addresses) == 3
    error_message = "Production is in three zones."
  }
}

run "dev" {
  module {
    source = "./examples/dev"
  }

  assert {
    condition     = output.helm_values.singleNode && output.helm_values.nats.replicas == 1 && length(output.left_out) == 0
    error_message = "dev fits one node, and leaves nothing out on AWS."
  }
}

run "emulator_is_refused_for_a_real_account" {
  command = plan

  module {
    source = "./examples/dev"
  }

  variables {
    emulator = true
  }

  expect_failures = [terraform_data.emulator_guard]
}

run "production_refuses_nobody" {
  command = plan

  module {
    source = "./examples/production"
  }

  variables {
    region             = "frankfurt"
    admin_role_arns    = []
    gateway_host       = "https://aegis.example.org"
    image_tag          = "0.1.0"
    alarm_emails       = []
    monthly_budget_usd = 1500
  }

  expect_failures = [var.region, var.admin_role_arns, var.gateway_host, var.alarm_emails]
}
