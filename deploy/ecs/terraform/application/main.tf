# An application's task with a log router that sends to Emberwatch, in either way that FireLens offers:
# `options`: by the options of its log driver alone (../../application-options.json);
# `init`: by a file in a bucket, which the init image loads (../../application-init.json). It needs a task role.
# Take what you need into the task definition you have; this one runs a container called `app`.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

variable "way" {
  type = string
  validation {
    condition     = contains(["options", "init"], var.way)
    error_message = "Either options or init."
  }
}

variable "image" {
  type = string
}

variable "router_version" {
  description = "Of aws-for-fluent-bit: 3.x. With 2.x take net.io_timeout out (fluent-bit/README.md)."
  type        = string
}

variable "host" {
  description = "The output `host` of the module beside this one."
  type        = string
}

variable "token_arn" {
  description = "Secret that holds the senders' token and nothing else."
  type        = string
}

variable "execution_role_arn" {
  description = "May read that secret."
  type        = string
}

variable "bucket" {
  description = "Holds firelens-init.conf; for `init` only."
  type        = string
  default     = null
}

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}

locals {
  init = var.way == "init"
  fill = {
    "REGION"              = data.aws_region.here.name
    "ACCOUNT"             = data.aws_caller_identity.me.account_id
    "VERSION"             = var.router_version
    "YOUR-BUCKET"         = coalesce(var.bucket, "none")
    "emberwatch.internal" = var.host
  }
  text = file("${path.module}/../../application-${var.way}.json")
  # Terraform has no fold.
  text1      = replace(local.text, "REGION", local.fill["REGION"])
  text2      = replace(local.text1, "ACCOUNT", local.fill["ACCOUNT"])
  text3      = replace(local.text2, "VERSION", local.fill["VERSION"])
  text4      = replace(local.text3, "YOUR-BUCKET", local.fill["YOUR-BUCKET"])
  text5      = replace(local.text4, "emberwatch.internal", local.fill["emberwatch.internal"])
  text6      = replace(local.text5, "arn:aws:secretsmanager:${local.fill["REGION"]}:${local.fill["ACCOUNT"]}:secret:emberwatch-token", var.token_arn)
  definition = jsondecode(local.text6)
  containers = [for c in local.definition.containerDefinitions : c.name != "app" ? jsonencode(c) : jsonencode(merge(c, { image = var.image }))]
}

resource "aws_ecs_task_definition" "application" {
  family                   = "application"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.definition.cpu
  memory                   = local.definition.memory
  execution_role_arn       = var.execution_role_arn
  task_role_arn            = local.init ? aws_iam_role.task[0].arn : null
  container_definitions    = "[${join(",", local.containers)}]"

  runtime_platform {
    operating_system_family = local.definition.runtimePlatform.operatingSystemFamily
    cpu_architecture        = local.definition.runtimePlatform.cpuArchitecture
  }
}

resource "aws_s3_object" "configuration" {
  count  = local.init ? 1 : 0
  bucket = var.bucket
  key    = "firelens-init.conf"
  # With the token, which the file that is shipped leaves out.
  content = replace(replace(replace(file("${path.module}/../../../../fluent-bit/firelens-init.conf"),
    "emberwatch.internal", var.host),
    "#http_User", "http_User"),
  "#http_Passwd", "http_Passwd")
}

# The init image fetches the file as the task.
resource "aws_iam_role" "task" {
  count = local.init ? 1 : 0
  name  = "application-task"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ecs-tasks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "bucket" {
  count = local.init ? 1 : 0
  name  = "firelens-init"
  role  = aws_iam_role.task[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::${var.bucket}/firelens-init.conf" },
      { Effect = "Allow", Action = "s3:GetBucketLocation", Resource = "arn:aws:s3:::${var.bucket}" },
    ]
  })
}

output "task_definition_arn" {
  value = aws_ecs_task_definition.application.arn
}

output "container_definitions" {
  value = aws_ecs_task_definition.application.container_definitions
}

output "router_configuration" {
  value = local.init ? aws_s3_object.configuration[0].content : null
}
