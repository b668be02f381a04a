package cost

import (
	"fmt"
	"math"
)

// Peer is what another service would take for the same load, at its list price.
type Peer struct {
	Name      string  `json:"name"`
	Dollars   float64 `json:"dollars"` // a month; 0 if Beyond
	Beyond    bool    `json:"beyond"`  // the load is more than its listed plans have
	How       string  `json:"how"`
	Source    string  `json:"source"`    // where and when the prices were read
	Confirmed bool    `json:"confirmed"` // the prices were read in the service's own words
}

// Peers prices a load at other services: messages, connections and minutes only. What they give for the money differs much
// more than the prices: most of them have no presence, history or resume, or charge for it elsewhere.
func Peers(l Load) []Peer {
	sent := l.Published() + l.Signals()
	messages := sent + l.Deliveries()
	return []Peer{
		durableObjects(l, sent), appSync(l, messages), iot(l, messages), webPubSub(l), supabase(l, messages),
		ablyMinutes(l, messages), ablyUsers(l, messages), pubNub(l), pusher(l, messages),
	}
}

// packs is how many packs of size have to be bought for n.
func packs(n, size float64) float64 { return math.Ceil(math.Max(0, n) / size) }

// parts is how many pieces of some KB a message is counted as.
func (l Load) parts(kb float64) float64 { return math.Max(1, math.Ceil(l.Bytes/(kb*1024))) }

func durableObjects(l Load, sent float64) Peer {
	requests := l.Connects()*(1+l.Joined) + sent/20
	return Peer{
		Name: "Cloudflare Durable Objects", Dollars: 5 + math.Max(0, requests-million)/million*0.15,
		How:    "$5 minimum, $0.15/M requests after 1 M; 20 incoming messages are a request, outgoing ones are free. Without the time that objects are in memory: $12.50/M GB-s after 400,000",
		Source: "developers.cloudflare.com/durable-objects/platform/pricing; the minimum is not confirmed",
	}
}

func appSync(l Load, messages float64) Peer {
	operations := messages*l.parts(5) + l.Connects()*(1+l.Joined)
	return Peer{
		Name: "AWS AppSync Events", Dollars: operations/million*1 + l.Minutes()/million*0.08,
		How:    "$1.00/M operations (published, delivered, connected, subscribed; 5 KB each), $0.08/M connection minutes",
		Source: "AWS price list of eu-west-1, 2024-09-01; aws.amazon.com/appsync/pricing; for us-east-1 and Events not confirmed",
	}
}

func iot(l Load, messages float64) Peer {
	operations := messages*l.parts(5) + l.Connects()*(1+l.Joined)
	return Peer{
		Name: "AWS IoT Core", Dollars: operations/million*1 + l.Minutes()/million*0.08,
		How:    "$1.00/M messages of 5 KB, $0.08/M connection minutes",
		Source: "SST live.mdx, 2024-10-24; aws.amazon.com/iot-core/pricing; digits not confirmed",
	}
}

func webPubSub(l Load) Peer {
	units := math.Max(1, math.Max(packs(l.Peak(), 1000), packs(l.perDay(l.Deliveries())*l.parts(2), million)))
	return Peer{
		Name: "Azure Web PubSub Standard", Dollars: units * 1.61 * l.Days,
		How:    fmt.Sprintf("units of 1,000 connections and 1 M messages of 2 KB out a day, $1.61 a day each; here %g", units),
		Source: "c3x.dev, a third party, not confirmed; the units: Microsoft's azure-docs, concept-billing-model.md",
	}
}

func supabase(l Load, messages float64) Peer {
	return Peer{
		Name: "Supabase Realtime, Pro", Dollars: 25 + packs(messages-5*million, million)*2.50 + packs(l.Peak()-500, 1000)*10,
		How:    "$25, 5 M messages in it, then $2.50/M; 500 connections at the same time, then $10 for 1,000",
		Source: "supabase/supabase apps/docs, pricing_realtime_*.mdx; the $25: smithery.ai, not confirmed",
	}
}

func ablyMinutes(l Load, messages float64) Peer {
	m := packs(messages*l.parts(5), million)
	return Peer{
		Name: "Ably, per minute", Dollars: 29 + m*2.50 + packs(l.Minutes(), million)*1 + packs(l.channelMinutes(), million)*1,
		How:    "$29, $2.50/M messages of 5 KiB, $1/M connection minutes, $1/M channel minutes",
		Source: "ably/docs platform/pricing, 2026-08-03", Confirmed: true,
	}
}

func ablyUsers(l Load, messages float64) Peer {
	extra := math.Max(0, messages*l.parts(5)-20_000*l.Users)/million*2.50 + math.Max(0, l.Minutes()-2000*l.Users)/million*1
	return Peer{
		Name: "Ably, per user", Dollars: 29 + 0.05*l.Users + extra,
		How:    "$29, $0.05 a user with 20,000 messages and 2,000 minutes, more as per minute",
		Source: "ably/docs platform/pricing, 2026-08-03", Confirmed: true,
	}
}

func pubNub(l Load) Peer {
	return Peer{
		Name: "PubNub Starter", Dollars: packs(l.Users, 1000) * 98, How: "$98 for 1,000 users of a month; what it limits beside is not in it",
		Source: "api-evangelist, 2026-05-08, not confirmed",
	}
}

func pusher(l Load, messages float64) Peer {
	p := Peer{
		Name: "Pusher Channels", How: "$49 (500 connections, 1 M messages a day), $99 (2,000; 4 M), $299 (5,000; 10 M)",
		Source: "api-evangelist/pusher, 2026-05-08, not confirmed",
	}
	day := l.perDay(messages)
	switch {
	case l.Peak() <= 500 && day <= million:
		p.Dollars = 49
	case l.Peak() <= 2000 && day <= 4*million:
		p.Dollars = 99
	case l.Peak() <= 5000 && day <= 10*million:
		p.Dollars = 299
	default:
		p.Beyond = true
	}
	return p
}
