def message(event, context):
    return {"statusCode": 200, "body": event["body"]}
