// Pusher is a function as many were written in Go, with the SDK before the present one: it pushes to whoever sent it something.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/apigatewaymanagementapi"
)

func main() {
	lambda.Start(func(_ context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
		s, err := session.NewSession()
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		r := event.RequestContext
		for _, host := range []string{r.DomainName, r.APIID + ".execute-api." + aws.StringValue(s.Config.Region) + ".amazonaws.com"} {
			client := apigatewaymanagementapi.New(s, aws.NewConfig().WithEndpoint(host+"/"+r.Stage)) // https, since it says nothing else
			_, err := client.PostToConnection(&apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &r.ConnectionID, Data: []byte(host)})
			if err != nil {
				return events.APIGatewayProxyResponse{}, err
			}
		}
		return events.APIGatewayProxyResponse{StatusCode: 200}, nil
	})
}
