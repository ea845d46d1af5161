# `terraform test`: plans against a provider that only knows the schema; no account is needed.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made-up" }
  }
}

variables {
  image              = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop:7"
  router_version     = "3.0.0"
  host               = "emberwatch.logs"
  token_arn          = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:senders-AbCdEf"
  execution_role_arn = "arn:aws:iam::123456789012:role/shop-execution"
}

run "by_options" {
  command = apply

  variables {
    way = "options"
  }
  assert {
    condition     = one([for c in jsondecode(output.container_definitions) : c if c.name == "app"]).logConfiguration.options.Host == "emberwatch.logs"
    error_message = "the driver's options name the host"
  }
  assert {
    condition     = one([for c in jsondecode(output.container_definitions) : c if c.name == "app"]).logConfiguration.secretOptions[0].valueFrom == var.token_arn
    error_message = "the token comes from its secret"
  }
  assert {
    condition     = output.router_configuration == null && length(aws_iam_role.task) == 0
    error_message = "no file and no role"
  }
}

run "by_the_init_image" {
  command = apply

  variables {
    way    = "init"
    bucket = "shop-configuration"
  }
  assert {
    condition     = one([for c in jsondecode(output.container_definitions) : c if c.name == "log_router"]).environment[0].value == "arn:aws:s3:::shop-configuration/firelens-init.conf"
    error_message = "the router is told of the file"
  }
  assert {
    condition     = one([for c in jsondecode(output.container_definitions) : c if c.name == "log_router"]).secrets[0].valueFrom == var.token_arn
    error_message = "the token comes from its secret"
  }
  assert {
    condition     = strcontains(output.router_configuration, "emberwatch.logs") && can(regex("\n +http_Passwd +\\$\\{EMBERWATCH_TOKEN}", output.router_configuration))
    error_message = "the file names the host and the token"
  }
}
