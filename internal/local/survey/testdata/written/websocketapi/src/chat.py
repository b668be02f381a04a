def admit(event, context):
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    return {"principalId": "ana", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


def answer(event, context):
    return {"statusCode": 200, "body": event.get("body", "")}
