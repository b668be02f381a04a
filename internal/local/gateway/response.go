package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// proxyResponse is what a Lambda proxy integration returns.
type proxyResponse struct {
	status   int
	protocol string // the Sec-WebSocket-Protocol header: the only one that reaches a client
	body     []byte
}

// parseProxyResponse refuses what a proxy integration refuses: no object, or no status code. What AWS does for WebSocket APIs in that
// case is UNCONFIRMED; this is the rule of REST APIs.
func parseProxyResponse(out []byte) (proxyResponse, error) {
	if res, is := parsePlain(out); is {
		return res, nil
	}
	return parseAny(out)
}

func parseAny(out []byte) (proxyResponse, error) {
	var raw struct {
		StatusCode json.Number      `json:"statusCode"`
		Headers    map[string]any   `json:"headers"`
		Multi      map[string][]any `json:"multiValueHeaders"`
		Body       *string          `json:"body"`
		Base64     bool             `json:"isBase64Encoded"`
	}
	if err := json.Unmarshal(out, &raw); err != nil {
		return proxyResponse{}, fmt.Errorf("malformed proxy response: %w", err)
	}
	status, err := raw.StatusCode.Int64()
	if err != nil || status < http.StatusOK || status > 599 {
		return proxyResponse{}, fmt.Errorf("malformed proxy response: statusCode is %q", raw.StatusCode)
	}
	res := proxyResponse{status: int(status)}
	for name, value := range raw.Headers {
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			res.protocol = fmt.Sprint(value)
		}
	}
	for name, values := range raw.Multi {
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") && len(values) > 0 {
			res.protocol = fmt.Sprint(values[len(values)-1])
		}
	}
	if raw.Body == nil {
		return res, nil
	}
	res.body = []byte(*raw.Body)
	if raw.Base64 {
		if res.body, err = base64.StdEncoding.DecodeString(*raw.Body); err != nil {
			return proxyResponse{}, fmt.Errorf("malformed proxy response: body: %w", err)
		}
	}
	return res, nil
}

// parsePlain reads a response as Go encodes it that has a status and a body and nothing else, in a third of the time.
func parsePlain(out []byte) (proxyResponse, bool) {
	rest, begins := bytes.CutPrefix(out, []byte(`{"statusCode":`))
	status, rest, has := bytes.Cut(rest, []byte(`,"body":`))
	text, ends := bytes.CutSuffix(rest, []byte(`}`))
	if !begins || !has || !ends || len(status) != 3 {
		return proxyResponse{}, false
	}
	n, err := strconv.Atoi(string(status))
	var body *string
	if err != nil || n < http.StatusOK || n > 599 || json.Unmarshal(text, &body) != nil || body == nil {
		return proxyResponse{}, false
	}
	return proxyResponse{status: n, body: []byte(*body)}, true
}

// ReadResponse gives the status and the body that a function has answered in a proxy integration.
func ReadResponse(out []byte) (status int, body []byte, err error) {
	res, err := parseProxyResponse(out)
	return res.status, res.body, err
}

// statusOf is the status a discarded response had, 0 if none: only for people who watch.
func statusOf(out []byte) int {
	raw, _ := lookup(out, []step{{name: "statusCode", index: -1}})
	var n int
	if json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return n
}
