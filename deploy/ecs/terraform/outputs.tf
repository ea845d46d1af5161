output "host" {
  description = "What senders write as Host."
  value       = "${aws_service_discovery_service.emberwatch.name}.${aws_service_discovery_private_dns_namespace.this.name}"
}

output "security_group_id" {
  value = aws_security_group.emberwatch.id
}

output "container_definitions" {
  description = "What the task definition became, as JSON."
  value       = aws_ecs_task_definition.emberwatch.container_definitions
}
