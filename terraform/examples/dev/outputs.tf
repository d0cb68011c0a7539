output "helm_values" {
  description = "Values for the chart."
  value       = module.chart_values.helm_values
}

output "aws" {
  description = "What else the suite, its operators and scripts need to know: region, buckets, keys, secrets."
  value = {
    region          = var.region
    bucket_names    = module.data.bucket_names
    key_arns        = module.data.key_arns
    secret_names    = module.data.secret_names
    repository_urls = module.data.repository_urls
    role_arns       = module.identity.role_arns
  }
}

output "kubeconfig_command" {
  description = "Makes kubectl and helm talk to this cluster."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${module.eks.cluster_name}"
}

output "interruption_queue" {
  description = "Name of the queue of interruptions, for Karpenter or the termination handler."
  value       = module.eks.interruption_queue
}

output "sagemaker" {
  description = "Settings of terraform/sagemaker/start_training.py and register_model.py: `terraform output -json sagemaker > sagemaker.json`."
  value       = { job = module.sagemaker.job, registration = module.sagemaker.registration }
}

output "left_out" {
  description = "What emulator = true left out."
  value       = distinct(concat(module.eks.left_out, module.identity.left_out, module.observability.left_out, module.sagemaker.left_out))
}
