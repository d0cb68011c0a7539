output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Addresses of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "zones" {
  description = "The three zones, in the order of the subnets."
  value       = local.zones
}

output "private_subnet_ids" {
  description = "Subnets of the nodes, by the order of zones."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Subnets of load balancers, by the order of zones."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "nat_addresses" {
  description = "Public addresses that traffic of the nodes comes from, by zone."
  value       = { for zone, eip in aws_eip.nat : zone => eip.public_ip }
}

output "endpoint_services" {
  description = "AWS services reached without leaving the VPC."
  value       = concat(["s3"], [for service, endpoint in aws_vpc_endpoint.interface : service])
}
