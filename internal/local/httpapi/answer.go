package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// answer is what the client gets.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// message is an answer of API Gateway's own.
func message(status int, text string) answer {
	body, err := json.Marshal(map[string]string{"message": text})
	if err != nil { // a text
		panic(err)
	}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

// result is what a function returns to be an answer.
type result struct {
	Status  json.RawMessage  `json:"statusCode"`
	Headers map[string]any   `json:"headers"`
	Multi   map[string][]any `json:"multiValueHeaders"`
	Cookies []string         `json:"cookies"`
	Body    *string          `json:"body"`
	Encoded bool             `json:"isBase64Encoded"`
}

// read makes an answer of what the function returned. Of format 2.0 whatever is no object with a statusCode is the body itself.
func (x *exchange) read(out []byte) (answer, error) {
	two := x.route.spec.Payload == "2.0"
	var r result
	err := json.Unmarshal(out, &r)
	if two && (err != nil && !isObject(out) || err == nil && r.Status == nil) {
		return plain(out), nil
	}
	if err != nil {
		return answer{}, fmt.Errorf("what the function returned is no answer: %w", err)
	}
	status, err := strconv.Atoi(strings.Trim(string(r.Status), `"`))
	if err != nil || status < 100 || status > 599 {
		return answer{}, fmt.Errorf("what the function returned has no statusCode: %.300s", out)
	}
	a := answer{status: status, header: r.header(two)}
	if a.header.Get("Content-Type") == "" {
		kind := "application/json"
		if !x.api.spec.REST {
			kind = "text/plain;charset=UTF-8" // UNCONFIRMED
		}
		a.header.Set("Content-Type", kind)
	}
	if r.Body == nil {
		return a, nil
	}
	a.body = []byte(*r.Body)
	if r.Encoded && (!x.api.spec.REST || x.wantsBinary()) {
		if a.body, err = base64.StdEncoding.DecodeString(*r.Body); err != nil {
			return answer{}, errors.New("what the function returned is said to be base64, and its body is not")
		}
	}
	return a, nil
}

// header is that of the answer, by the rules of either format.
func (r *result) header(two bool) http.Header {
	out := http.Header{}
	for name, value := range r.Headers {
		out.Set(name, fmt.Sprint(value))
	}
	if two {
		for _, cookie := range r.Cookies {
			out.Add("Set-Cookie", cookie)
		}
		return out
	}
	for name, values := range r.Multi {
		out.Del(name)
		for _, value := range values {
			out.Add(name, fmt.Sprint(value))
		}
	}
	return out
}

// wantsBinary reports whether a REST API decodes a body: the first type that the client accepts has to be among its BinaryMediaTypes.
func (x *exchange) wantsBinary() bool {
	first, _, _ := strings.Cut(x.r.Header.Get("Accept"), ",")
	kind, _, err := mime.ParseMediaType(first)
	return err == nil && x.api.isBinary(kind) || x.api.isBinary("*/*")
}

func isObject(out []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(out, &object) == nil && object["statusCode"] != nil
}

// plain is an answer of what a function returns without a statusCode: a text is itself.
func plain(out []byte) answer {
	var text string
	if json.Unmarshal(out, &text) == nil {
		out = []byte(text)
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: out}
}

func (x *exchange) write(w http.ResponseWriter, a answer) {
	header := w.Header()
	for name, values := range a.header {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding", "Upgrade": // the server's own
		default:
			header[name] = values
		}
	}
	if x.api.spec.REST {
		header["x-amzn-RequestId"] = []string{x.id}
	} else {
		header["Apigw-Requestid"] = []string{x.id}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}
