output "helm_values" {
  description = "Values for deploy/k8s/helm/aegis: `terraform output -json helm_values > values.json && helm install aegis … --values values.json`."
  value       = local.values
}
