# Deploys the release that lies beside this file, bellhop-VERSION-aws.zip unpacked, as a stack of CloudFormation: the template is
# Bellhop's own, so that whatever its manuals say holds here too. DEPLOY.md has the parameters.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "name" {
  description = "Name of the stack"
  type        = string
  default     = "bellhop"
}

variable "bucket" {
  description = "Bucket of the same region that the functions and the templates are uploaded to"
  type        = string
}

variable "parameters" {
  description = "Parameters of the template, such as { JwtSecretArn = \"arn:…\" }: JwtSecretArn or JwksUrl is needed"
  type        = map(string)
}

locals {
  files  = setunion(fileset(path.module, "*.zip"), ["monitoring.yaml"])
  digest = sha256(join("", [for file in concat(["template.yaml"], sort(tolist(local.files))) : filesha256("${path.module}/${file}")]))
  prefix = "bellhop/${substr(local.digest, 0, 16)}" # another release lies elsewhere, or CloudFormation would see no change
  folder = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${local.prefix}"
  template = replace(
    replace(file("${path.module}/template.yaml"), "/(?m)^(\\s+CodeUri:) ([a-z]+\\.zip)$/", "$1 s3://${var.bucket}/${local.prefix}/$2"),
    "/(?m)^(\\s+TemplateURL:) (monitoring\\.yaml)$/", "$1 ${local.folder}/$2"
  )
}

data "aws_s3_bucket" "code" {
  bucket = var.bucket
}

resource "aws_s3_object" "code" {
  for_each = local.files
  bucket   = var.bucket
  key      = "${local.prefix}/${each.value}"
  source   = "${path.module}/${each.value}"
}

resource "aws_s3_object" "template" {
  bucket  = var.bucket
  key     = "${local.prefix}/template.yaml"
  content = local.template
}

resource "aws_cloudformation_stack" "bellhop" {
  name         = var.name
  template_url = "${local.folder}/template.yaml"
  parameters   = var.parameters
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  depends_on   = [aws_s3_object.code, aws_s3_object.template]
}

output "outputs" {
  description = "Outputs of the stack: WebSocketUrl is where clients connect, EmitFunctionName what programs invoke"
  value       = aws_cloudformation_stack.bellhop.outputs
}

output "emit_policy" {
  description = "A policy for programs that emit"
  value = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "lambda:InvokeFunction", Resource = aws_cloudformation_stack.bellhop.outputs["EmitFunctionArn"] }]
  })
}
