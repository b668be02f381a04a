"""Stands in for the AWS CLI: the operation and its parameters are looked up in the AWS SDK's own description of the API.
What goes to an endpoint of this machine is really called.

    aws.py SERVICE OPERATION [--parameter VALUE]...
"""

import json
import os
import sys

try:
    import botocore.session
    from botocore import xform_name
except ImportError:
    sys.exit(77)  # what runs the block knows that as "not looked at"

OF_THE_CLI = {"--endpoint-url", "--region", "--cli-binary-format", "--output"}
service, operation, *rest = sys.argv[1:]

given, cli, files = {}, {}, []
while rest:
    name = rest.pop(0)
    if not name.startswith("--"):
        files.append(name)
        continue
    value = rest.pop(0) if rest and not rest[0].startswith("--") else True
    (cli if name in OF_THE_CLI else given)[name] = value

# These two are the CLI's own: https://docs.aws.amazon.com/cli/latest/reference/cloudformation/deploy/
WRITTEN = {
    "package": "template-file s3-bucket s3-prefix kms-key-id output-template-file use-json force-upload metadata",
    "deploy": "template-file stack-name s3-bucket s3-prefix kms-key-id force-upload parameter-overrides capabilities role-arn"
    " no-execute-changeset notification-arns fail-on-empty-changeset tags",
}
if service == "cloudformation" and operation in WRITTEN:
    unknown = [name for name in given if name[2:] not in WRITTEN[operation].split()]
    sys.exit(f"aws cloudformation {operation} has no {unknown[0]}" if unknown else 0)

session = botocore.session.get_session()
client = session.create_client(
    service,
    region_name=cli.get("--region", "us-east-1"),
    endpoint_url=cli.get("--endpoint-url"),
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
method = operation.replace("-", "_")
if method not in client.meta.method_to_api_mapping:
    sys.exit(f"aws {service} has no {operation}")
shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
names = {"--" + xform_name(member, "-"): member for member in shape.members}
parameters = {}
for name, value in given.items():
    if name not in names:
        sys.exit(f"aws {service} {operation} has no {name}; it has {', '.join(sorted(names))}")
    member = shape.members[names[name]]
    if member.type_name in ("list", "structure", "map"):
        value = json.loads(value)
    parameters[names[name]] = value
for member in shape.required_members:
    if member not in parameters:
        sys.exit(f"aws {service} {operation} needs --{xform_name(member, '-')}")
if operation == "invoke" and len(files) != 1:
    sys.exit("aws lambda invoke needs a file for the answer")

endpoint = cli.get("--endpoint-url")
if endpoint and endpoint == os.environ.get("SERVER"):
    answer = getattr(client, method)(**parameters)
    if answer.get("FailedEntryCount"):
        sys.exit(json.dumps(answer, default=str))
    print(json.dumps(answer, default=str))
else:
    print("secret or other text of AWS")
