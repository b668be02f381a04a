package cost

// Item is something that AWS bills by quantity.
type Item string

// The items, in the order of a bill.
const (
	ItemMessages        Item = "messages"
	ItemMinutes         Item = "connectionMinutes"
	ItemLambdaRequests  Item = "lambdaRequests"
	ItemLambdaGBSeconds Item = "lambdaGbSeconds"
	ItemWriteUnits      Item = "writeUnits"
	ItemReadUnits       Item = "readUnits"
	ItemSQS             Item = "sqsRequests"
	ItemEventBridge     Item = "eventBridgeEvents"
	ItemDataOut         Item = "dataOut"
)

const (
	million  = 1e6
	gigabyte = 1 << 30
)

// Price is a list price of AWS in Region, and where it was read. AWS may have changed it since: Source is the page to look at.
type Price struct {
	Item    Item    `json:"item"`
	What    string  `json:"what"`
	Dollars float64 `json:"dollars"` // for Per units
	Per     float64 `json:"per"`
	Free    float64 `json:"free"`   // units of a month that cost nothing, for every account and without end
	Source  string  `json:"source"` // AWS's own page
	Read    string  `json:"read"`   // where and when the number was read
}

// Region is where the prices are of.
const Region = "us-east-1"

// Prices is the table of prices. It leaves out the lower prices of large quantities and the free amounts of an account's
// first year. The functions run on arm64, as template.yaml says.
func Prices() []Price {
	return []Price{
		{
			ItemMessages, "API Gateway messages, 32 KB each", 1.00, million, 0,
			"https://aws.amazon.com/api-gateway/pricing/", "awsforengineers.com, 2025-05-19; the 32 KB on AWS's page",
		},
		{
			ItemMinutes, "API Gateway connection minutes", 0.25, million, 0,
			"https://aws.amazon.com/api-gateway/pricing/", "amnic.com, undated; also a question on repost.aws",
		},
		{
			ItemLambdaRequests, "Lambda requests", 0.20, million, million,
			"https://aws.amazon.com/lambda/pricing/", "api-evangelist/aws-lambda, 2026-05-05",
		},
		{
			ItemLambdaGBSeconds, "Lambda GB-seconds, arm64", 0.0000133334, 1, 400_000,
			"https://aws.amazon.com/lambda/pricing/", "artillery 2.0.28, prices.js; the free amount: api-evangelist/aws-lambda, 2026-05-05",
		},
		{
			ItemWriteUnits, "DynamoDB write units, 1 KB", 0.625, million, 0,
			"https://aws.amazon.com/dynamodb/pricing/on-demand/", "airbyte.com, 2025-07-21; the units on AWS's page",
		},
		{
			ItemReadUnits, "DynamoDB read units, 4 KB", 0.125, million, 0,
			"https://aws.amazon.com/dynamodb/pricing/on-demand/", "airbyte.com, 2025-07-21; the units on AWS's page",
		},
		{
			ItemSQS, "SQS requests, 64 KB each", 0.40, million, million,
			"https://aws.amazon.com/sqs/pricing/", "cloudburn.io, 2026-03-14",
		},
		{
			ItemEventBridge, "EventBridge events, 64 KB each", 1.00, million, 0,
			"https://aws.amazon.com/eventbridge/pricing/", "cloudburn.io, 2026-03-13; the 64 KB on AWS's page",
		},
		{
			ItemDataOut, "Data out to the internet, GB", 0.09, 1, 100,
			"https://aws.amazon.com/ec2/pricing/on-demand/", "amnic.com, undated",
		},
	}
}
