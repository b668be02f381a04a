// Package cost counts what AWS would bill for and prices it.
//
// A [Meter] counts while something runs: [Store] is a hub.Store that reports to one. [Load] counts without running anything,
// from a description. Both give a [Usage], which one table of prices ([Prices]) turns into a [Bill].
//
// What is not counted: storage, and calls of the management API other than posts, for which AWS names no price. A Meter does not
// count what is written to logs, and what watches a stack.
package cost

import "math"

// messageUnit is what API Gateway meters WebSocket messages in.
const messageUnit = 32 << 10

// chunk is what SQS and EventBridge count as one request or event.
const chunk = 64 << 10

// Messages gives what a message of size bytes is billed as: one for each 32 KB that it begins, and one for an empty one.
func Messages(size int) int64 { return pieces(size, messageUnit) }

// Requests gives what a queue message or an event of size bytes is billed as: one for each 64 KB that it begins.
func Requests(size int) int64 { return pieces(size, chunk) }

// pieces is at least 1.
func pieces(size, unit int) int64 { return int64(max(1, (size+unit-1)/unit)) }

// Usage is how much was used of each thing that is billed.
type Usage struct {
	MessagesIn        float64 `json:"messagesIn"`  // from clients, in units of 32 KB
	MessagesOut       float64 `json:"messagesOut"` // to clients, in units of 32 KB
	ConnectionMinutes float64 `json:"connectionMinutes"`
	LambdaRequests    float64 `json:"lambdaRequests"`
	LambdaGBSeconds   float64 `json:"lambdaGbSeconds"`
	WriteUnits        float64 `json:"writeUnits"` // of DynamoDB, on demand
	ReadUnits         float64 `json:"readUnits"`
	SQSRequests       float64 `json:"sqsRequests"`
	EventBridgeEvents float64 `json:"eventBridgeEvents"`
	BytesOut          float64 `json:"bytesOut"` // of messages to clients, without the frames around them
	LogBytes          float64 `json:"logBytes"`
	Metrics           float64 `json:"metrics"`      // of CloudWatch, that an application writes itself, for a month each
	AlarmMetrics      float64 `json:"alarmMetrics"` // that alarms look at, for a month each
	Dashboards        float64 `json:"dashboards"`   // for a month each
	Traces            float64 `json:"traces"`       // recorded by X-Ray
	KeyRequests       float64 `json:"keyRequests"`  // of KMS
}

// parts are the numbers of a usage, in the order of the fields.
func parts(u *Usage) []*float64 {
	return []*float64{
		&u.MessagesIn, &u.MessagesOut, &u.ConnectionMinutes, &u.LambdaRequests, &u.LambdaGBSeconds,
		&u.WriteUnits, &u.ReadUnits, &u.SQSRequests, &u.EventBridgeEvents, &u.BytesOut, &u.LogBytes, &u.Metrics, &u.AlarmMetrics,
		&u.Dashboards, &u.Traces, &u.KeyRequests,
	}
}

// Plus is both together.
func (u Usage) Plus(v Usage) Usage {
	for i, p := range parts(&u) {
		*p += *parts(&v)[i]
	}
	return u
}

// Minus is what is left of u without v; what v has more of is nothing.
func (u Usage) Minus(v Usage) Usage {
	for i, p := range parts(&u) {
		*p = max(0, *p-*parts(&v)[i])
	}
	return u
}

// Times is u f times.
func (u Usage) Times(f float64) Usage {
	for _, p := range parts(&u) {
		*p *= f
	}
	return u
}

// of gives the number that a price is for.
func (u Usage) of(item Item) float64 {
	switch item {
	case ItemMessages:
		return u.MessagesIn + u.MessagesOut
	case ItemMinutes:
		return u.ConnectionMinutes
	case ItemLambdaRequests:
		return u.LambdaRequests
	case ItemLambdaGBSeconds:
		return u.LambdaGBSeconds
	case ItemWriteUnits:
		return u.WriteUnits
	case ItemReadUnits:
		return u.ReadUnits
	case ItemSQS:
		return u.SQSRequests
	case ItemEventBridge:
		return u.EventBridgeEvents
	case ItemDataOut:
		return u.BytesOut / gigabyte
	case ItemLogs:
		return u.LogBytes / gigabyte
	case ItemMetrics:
		return u.Metrics
	case ItemAlarms:
		return u.AlarmMetrics
	case ItemDashboards:
		return u.Dashboards
	case ItemTraces:
		return u.Traces
	case ItemKeys:
		return u.KeyRequests
	}
	return 0
}

// Line is one line of a bill.
type Line struct {
	Item     Item    `json:"item"`
	What     string  `json:"what"`
	Quantity float64 `json:"quantity"`
	Dollars  float64 `json:"dollars"`        // at list price, from the first unit on
	Free     float64 `json:"free,omitempty"` // what of it the free amount of a month covers; only in the bill of a month
}

// Bill is a usage with its prices.
type Bill struct {
	Lines   []Line  `json:"lines"`
	Dollars float64 `json:"dollars"` // at list price
	Free    float64 `json:"free"`    // less this much, for accounts that use nothing else of these services
}

// Bill prices a usage at list price, every unit of it. The lower price of what is more than a month's threshold is that of a month, so it
// is right for what is used in one, and in less as long as that is below the threshold.
func (u Usage) Bill() Bill {
	var b Bill
	for _, p := range Prices() {
		l := Line{Item: p.Item, What: p.What, Quantity: u.of(p.Item)}
		l.Dollars = p.of(l.Quantity)
		b.Lines, b.Dollars = append(b.Lines, l), b.Dollars+l.Dollars
	}
	return b
}

// BillOfMonth is Bill for what is used in a month, with what AWS gives for nothing every month.
func (u Usage) BillOfMonth() Bill {
	b := u.Bill()
	for i, p := range Prices() {
		b.Lines[i].Free = math.Min(b.Lines[i].Quantity, p.Free) / p.Per * p.Dollars
		b.Free += b.Lines[i].Free
	}
	return b
}
