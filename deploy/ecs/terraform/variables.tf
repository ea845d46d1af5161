# What is yours. No secret is a variable: Terraform would write it into its state.

variable "name" {
  description = "Name of the service, its log group and roles."
  type        = string
  default     = "emberwatch"
}

variable "cluster_arn" {
  description = "ECS cluster to run in."
  type        = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "Private subnets with a way out: to the image, to Secrets Manager, CloudWatch Logs and Slack."
  type        = list(string)
}

variable "sender_security_group_ids" {
  description = "Security groups of the tasks whose log routers send here. Nobody else reaches port 8080."
  type        = list(string)
}

variable "prometheus_security_group_ids" {
  description = "Security groups that may reach port 9090. Its token may change what is watched."
  type        = list(string)
  default     = []
}

variable "image" {
  description = "What deploy/docker/Dockerfile builds, pushed to a registry of yours, for this architecture."
  type        = string
}

variable "architecture" {
  description = "arm64 costs a fifth less on Fargate; the image has to be built for it."
  type        = string
  default     = "arm64"
  validation {
    condition     = contains(["arm64", "x86-64"], var.architecture)
    error_message = "Either arm64 or x86-64."
  }
}

variable "with_ollama" {
  description = "A model beside it, in the same task: 4 vCPU and 8 GB in place of 0.5 and 1."
  type        = bool
  default     = false
}

variable "slack_channel" {
  type    = string
  default = "#alerts"
}

variable "namespace" {
  description = "Private DNS namespace to make; senders write emberwatch.<namespace>. fluent-bit/ says emberwatch.internal."
  type        = string
  default     = "internal"
}

variable "secret_arns" {
  description = "Made beforehand, see ../README.md: settings (TOML with the senders' token), control, slack."
  type = object({
    settings = string
    control  = string
    slack    = string
  })
}

variable "kms_key_arns" {
  description = "Customer managed keys of those secrets, if they have any."
  type        = list(string)
  default     = []
}

variable "efs" {
  description = "Keeps the store over a replaced task; null: it goes with the task. ../README.md has what that costs."
  type = object({
    file_system_id    = string
    access_point_id   = string # with uid and gid 65532
    security_group_id = string
  })
  default = null
}

variable "state" {
  description = "Keeps the small state in a bucket over a replaced task (docs/state.md); null: it goes with the task."
  type = object({
    bucket = string
    prefix = string # one for each installation
  })
  default = null
}
