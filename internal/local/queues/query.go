package queues

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
)

// The query protocol: a form to a queue's URL, answered in XML. API Gateway's integrations speak it, and SDKs from before 2023. Of its actions
// there are those whose answer has no lists; see "Making query API requests" in the Amazon SQS developer guide.

const xmlNamespace = "http://queue.amazonaws.com/doc/2012-11-05/"

func isForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(kind) == "application/x-www-form-urlencoded"
}

// isQueueURL reports whether a path is that of a queue: /123456789012/name.
func (s *Service) isQueueURL(path string) bool {
	name, ok := strings.CutPrefix(path, "/"+s.cfg.Template.Account+"/")
	return ok && s.cfg.Template.Queue(name) != nil
}

// query serves a request.
func (h *call) query(w http.ResponseWriter) {
	body, err := io.ReadAll(io.LimitReader(h.r.Body, 4*maxBatchBytes))
	if err != nil {
		writeXMLError(w, err)
		return
	}
	// Mapping templates leave white space around the form.
	form, err := url.ParseQuery(strings.TrimSpace(string(body)))
	if err != nil {
		writeXMLError(w, &awserr.Error{Status: http.StatusBadRequest, Code: "MalformedQueryString", Message: err.Error()})
		return
	}
	for name, values := range h.r.URL.Query() {
		form[name] = append(form[name], values...)
	}
	action := form.Get("Action")
	if h.in, err = formRequest(form); err == nil {
		if h.in.QueueURL == "" && h.srv.isQueueURL(h.r.URL.Path) {
			h.in.QueueURL = h.r.URL.Path
		}
		var out any
		if out, err = h.runQuery(action); err == nil {
			writeXML(w, action, out)
			return
		}
	}
	writeXMLError(w, err)
}

func (h *call) runQuery(action string) (any, error) {
	if !slices.Contains([]string{"SendMessage", "DeleteMessage", "ChangeMessageVisibility", "PurgeQueue", "GetQueueUrl"}, action) {
		return nil, &awserr.Error{
			Status: http.StatusBadRequest, Code: "InvalidAction",
			Message: fmt.Sprintf("The action %q is not emulated in SQS's query protocol; in its JSON protocol, which SDKs have spoken since 2023, more are.", action),
		}
	}
	return h.run(action)
}

// formRequest reads a form.
func formRequest(form url.Values) (in request, err error) {
	in = request{
		QueueURL: form.Get("QueueUrl"), QueueName: form.Get("QueueName"), Body: form.Get("MessageBody"), Receipt: form.Get("ReceiptHandle"),
		MessageAttributes: map[string]MessageAttribute{},
	}
	for name, into := range map[string]**int{"DelaySeconds": &in.Delay, "VisibilityTimeout": &in.Visibility} {
		text := form.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return in, errValue(fmt.Sprintf("Value %s for parameter %s is invalid. Reason: Must be an integer.", text, name))
		}
		*into = &n
	}
	for i := 1; form.Has(fmt.Sprintf("MessageAttribute.%d.Name", i)); i++ {
		prefix := fmt.Sprintf("MessageAttribute.%d.", i)
		a := MessageAttribute{Type: form.Get(prefix + "Value.DataType")}
		if text := form.Get(prefix + "Value.StringValue"); form.Has(prefix + "Value.StringValue") {
			a.String = &text
		}
		if a.Binary, err = base64.StdEncoding.DecodeString(form.Get(prefix + "Value.BinaryValue")); err != nil {
			return in, errValue("The message attribute's BinaryValue is not base64.")
		}
		in.MessageAttributes[form.Get(prefix+"Name")] = a
	}
	return in, nil
}

// members are an answer's, one element each.
type members map[string]string

// MarshalXML writes them in the order of their names.
func (m members) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := e.EncodeElement(m[name], xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

func writeXML(w http.ResponseWriter, action string, out any) {
	type metadata struct {
		RequestID string `xml:"RequestId"`
	}
	answer := struct {
		XMLName  xml.Name `xml:""`
		Result   members  `xml:",omitempty"`
		Metadata metadata `xml:"ResponseMetadata"`
	}{XMLName: xml.Name{Space: xmlNamespace, Local: action + "Response"}, Metadata: metadata{uuid.NewString()}}
	text, err := json.Marshal(out) // flat, see runQuery
	if err == nil {
		err = json.Unmarshal(text, &answer.Result)
	}
	if err != nil {
		writeXMLError(w, err)
		return
	}
	body, err := xml.Marshal(answer)
	if err != nil {
		writeXMLError(w, err)
		return
	}
	if len(answer.Result) > 0 { // the element is named after the action
		body = []byte(strings.NewReplacer("<Result>", "<"+action+"Result>", "</Result>", "</"+action+"Result>").Replace(string(body)))
	}
	sendXML(w, http.StatusOK, body)
}

func writeXMLError(w http.ResponseWriter, err error) {
	api := awserr.Of(err, "InternalError")
	type fault struct {
		Type    string `xml:"Type"`
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	answer := struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Error     fault    `xml:"Error"`
		RequestID string   `xml:"RequestId"`
	}{Error: fault{"Sender", api.Code, api.Message}, RequestID: uuid.NewString()}
	if api.Code == codeNoQueue {
		answer.Error.Code = "AWS.SimpleQueueService.NonExistentQueue"
	}
	body, failed := xml.Marshal(answer)
	if failed != nil {
		http.Error(w, failed.Error(), http.StatusInternalServerError)
		return
	}
	sendXML(w, api.Status, body)
}

func sendXML(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), body...))
}
