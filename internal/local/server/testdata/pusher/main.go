// Pusher is a function as others write them in Go: it pushes what it is sent to whoever sent it, by the addresses that an event gives.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
)

func main() {
	lambda.Start(func(ctx context.Context, event events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
		c, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		r := event.RequestContext
		for _, host := range []string{r.DomainName, r.APIID + ".execute-api." + c.Region + ".amazonaws.com"} {
			client := apigatewaymanagementapi.NewFromConfig(c, func(o *apigatewaymanagementapi.Options) {
				o.BaseEndpoint = aws.String("https://" + host + "/" + r.Stage)
			})
			_, err := client.PostToConnection(ctx, &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: &r.ConnectionID, Data: []byte(host)})
			if err != nil {
				return events.APIGatewayProxyResponse{}, err
			}
		}
		return events.APIGatewayProxyResponse{StatusCode: 200}, nil
	})
}
