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
	ItemLogs            Item = "logs"
	ItemMetrics         Item = "metrics"
	ItemAlarms          Item = "alarms"
	ItemDashboards      Item = "dashboards"
	ItemTraces          Item = "traces"
	ItemKeys            Item = "keyRequests"
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
	Above   float64 `json:"above,omitempty"` // units of a month from which on Then is the price; 0: it is the same for all
	Then    float64 `json:"then,omitempty"`
	Free    float64 `json:"free"`   // units of a month that cost nothing, for every account and without end
	Source  string  `json:"source"` // AWS's own page
	Read    string  `json:"read"`   // where and when the number was read
}

// Region is where the prices are of.
const Region = "us-east-1"

// of prices a quantity.
func (p Price) of(quantity float64) float64 {
	if p.Above > 0 && quantity > p.Above {
		return p.Above/p.Per*p.Dollars + (quantity-p.Above)/p.Per*p.Then
	}
	return quantity / p.Per * p.Dollars
}

// Prices is the table of prices. It leaves out the free amounts of an account's first year, and lower prices of large quantities but for
// messages. The functions run on arm64, as template.yaml says.
func Prices() []Price {
	return []Price{
		{
			Item: ItemMessages, What: "API Gateway messages, 32 KB each", Dollars: 1.00, Per: million, Above: 1000 * million, Then: 0.80,
			Source: "https://aws.amazon.com/api-gateway/pricing/", Read: "awsforengineers.com, 2025-05-19; above a billion: AWS's price list, SKU 3Y5E3ETY2M5CMHYP, effective 2025-07-01; the 32 KB on AWS's page",
		},
		{
			Item: ItemMinutes, What: "API Gateway connection minutes", Dollars: 0.25, Per: million,
			Source: "https://aws.amazon.com/api-gateway/pricing/", Read: "amnic.com, undated; also a question on repost.aws",
		},
		{
			Item: ItemLambdaRequests, What: "Lambda requests", Dollars: 0.20, Per: million, Free: million,
			Source: "https://aws.amazon.com/lambda/pricing/", Read: "api-evangelist/aws-lambda, 2026-05-05",
		},
		{
			Item: ItemLambdaGBSeconds, What: "Lambda GB-seconds, arm64", Dollars: 0.0000133334, Per: 1, Free: 400_000,
			Source: "https://aws.amazon.com/lambda/pricing/", Read: "artillery 2.0.28, prices.js; the free amount: api-evangelist/aws-lambda, 2026-05-05",
		},
		{
			Item: ItemWriteUnits, What: "DynamoDB write units, 1 KB", Dollars: 0.625, Per: million,
			Source: "https://aws.amazon.com/dynamodb/pricing/on-demand/", Read: "airbyte.com, 2025-07-21; the units on AWS's page",
		},
		{
			Item: ItemReadUnits, What: "DynamoDB read units, 4 KB", Dollars: 0.125, Per: million,
			Source: "https://aws.amazon.com/dynamodb/pricing/on-demand/", Read: "airbyte.com, 2025-07-21; the units on AWS's page",
		},
		{
			Item: ItemSQS, What: "SQS requests, 64 KB each", Dollars: 0.40, Per: million, Free: million,
			Source: "https://aws.amazon.com/sqs/pricing/", Read: "cloudburn.io, 2026-03-14",
		},
		{
			Item: ItemEventBridge, What: "EventBridge events, 64 KB each", Dollars: 1.00, Per: million,
			Source: "https://aws.amazon.com/eventbridge/pricing/", Read: "cloudburn.io, 2026-03-13; the 64 KB on AWS's page",
		},
		{
			Item: ItemDataOut, What: "Data out to the internet, GB", Dollars: 0.09, Per: 1, Free: 100,
			Source: "https://aws.amazon.com/ec2/pricing/on-demand/", Read: "amnic.com, undated",
		},
		{
			Item: ItemLogs, What: "CloudWatch logs taken in, GB", Dollars: 0.50, Per: 1,
			Source: "https://aws.amazon.com/cloudwatch/pricing/", Read: "factualminds.com, 2026-06-13; c3x.dev, 2026-06",
		},
		{
			Item: ItemMetrics, What: "CloudWatch metrics of one's own", Dollars: 0.30, Per: 1, Free: 10,
			Source: "https://aws.amazon.com/cloudwatch/pricing/", Read: "signoz.io, 2026-02; the free amount: api-evangelist/cloudwatch, 2026-05",
		},
		{
			Item: ItemAlarms, What: "CloudWatch metrics that alarms look at", Dollars: 0.10, Per: 1, Free: 10,
			Source: "https://aws.amazon.com/cloudwatch/pricing/", Read: "cloudburn.io, 2026-02; the free amount: api-evangelist/cloudwatch, 2026-05",
		},
		{
			Item: ItemDashboards, What: "CloudWatch dashboards", Dollars: 3, Per: 1, Free: 3,
			Source: "https://aws.amazon.com/cloudwatch/pricing/", Read: "cloudburn.io, 2026-02; the free amount: api-evangelist/cloudwatch, 2026-05",
		},
		{
			Item: ItemTraces, What: "X-Ray traces recorded", Dollars: 5, Per: million, Free: 100_000,
			Source: "https://aws.amazon.com/xray/pricing/", Read: "AWS's page",
		},
		{
			Item: ItemKeys, What: "KMS requests", Dollars: 0.03, Per: 10_000, Free: 20_000,
			Source: "https://aws.amazon.com/kms/pricing/", Read: "wring.co, undated; factualminds.com, 2026-06-13; the free amount on AWS's page",
		},
	}
}
