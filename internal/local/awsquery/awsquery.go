// Package awsquery is the query protocol of AWS's older services, SQS and SNS among them: a form that is posted, with the action in a field, and
// an answer in XML. See "AWS query protocol" in the Smithy documentation, https://smithy.io/2.0/aws/protocols/aws-query-protocol.html.
package awsquery

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// IsForm reports whether a request has a form.
func IsForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(kind) == "application/x-www-form-urlencoded"
}

// Read reads the fields of a request, of at most a number of bytes, from its form and from its URL. The error is an *awserr.Error.
func Read(r *http.Request, most int64) (url.Values, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	// Mapping templates leave white space around the form.
	form, err := url.ParseQuery(strings.TrimSpace(string(body)))
	if err != nil {
		return nil, &awserr.Error{Status: http.StatusBadRequest, Code: "MalformedQueryString", Message: err.Error()}
	}
	for name, values := range r.URL.Query() {
		form[name] = append(form[name], values...)
	}
	return form, nil
}

// Attribute is one attribute of a message. String is nil for a binary one.
type Attribute struct {
	Type   string
	String *string
	Binary []byte
}

// Text is the value as it is sent: of a binary one, base64.
func (a Attribute) Text() string {
	if a.String != nil {
		return *a.String
	}
	return base64.StdEncoding.EncodeToString(a.Binary)
}

// Attributes reads those of a message. prefix is what the service calls the first one's fields before its number, such as
// "MessageAttribute."
func Attributes(form url.Values, prefix string) (map[string]Attribute, error) {
	list := map[string]Attribute{}
	for i := 1; ; i++ {
		at := fmt.Sprintf("%s%d.", prefix, i)
		if !form.Has(at + "Name") {
			return list, nil
		}
		a := Attribute{Type: form.Get(at + "Value.DataType")}
		if text := form.Get(at + "Value.StringValue"); form.Has(at + "Value.StringValue") {
			a.String = &text
		}
		var err error
		if a.Binary, err = base64.StdEncoding.DecodeString(form.Get(at + "Value.BinaryValue")); err != nil {
			return nil, fmt.Errorf("the BinaryValue of the message attribute %s is not base64", form.Get(at+"Name"))
		}
		list[form.Get(at+"Name")] = a
	}
}

// Write answers a request. result is what package encoding/xml makes the result's elements of; nil: the action has none.
func Write(w http.ResponseWriter, namespace, action string, result any) {
	type metadata struct {
		RequestID string `xml:"RequestId"`
	}
	root := xml.StartElement{Name: xml.Name{Space: namespace, Local: action + "Response"}}
	var body bytes.Buffer
	e := xml.NewEncoder(&body)
	err := e.EncodeToken(root)
	if err == nil && result != nil {
		err = e.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: action + "Result"}})
	}
	if err == nil {
		err = e.EncodeElement(metadata{uuid.NewString()}, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}})
	}
	if err == nil {
		err = e.EncodeToken(root.End())
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		WriteError(w, err)
		return
	}
	send(w, http.StatusOK, body.Bytes())
}

// WriteError answers a request that has failed.
func WriteError(w http.ResponseWriter, err error) {
	api := awserr.Of(err, "InternalError")
	type fault struct {
		Type    string `xml:"Type"`
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	body, failed := xml.Marshal(struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Error     fault    `xml:"Error"`
		RequestID string   `xml:"RequestId"`
	}{Error: fault{"Sender", api.Code, api.Message}, RequestID: uuid.NewString()})
	if failed != nil {
		http.Error(w, failed.Error(), http.StatusInternalServerError)
		return
	}
	send(w, api.Status, body)
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), body...))
}
