package queues

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/awsquery"
)

// The query protocol: a form to a queue's URL, answered in XML. API Gateway's integrations speak it, and SDKs from before 2023. Of its actions
// there are those whose answer has no lists; see "Making query API requests" in the Amazon SQS developer guide.

const xmlNamespace = "http://queue.amazonaws.com/doc/2012-11-05/"

// isQueueURL reports whether a path is that of a queue: /123456789012/name.
func (s *Service) isQueueURL(path string) bool {
	name, ok := strings.CutPrefix(path, "/"+s.cfg.Template.Account+"/")
	return ok && s.cfg.Template.Queue(name) != nil
}

// query serves a request.
func (h *call) query(w http.ResponseWriter) {
	form, err := awsquery.Read(h.r, 4*maxBatchBytes)
	if err != nil {
		awsquery.WriteError(w, err)
		return
	}
	action := form.Get("Action")
	if h.in, err = formRequest(form); err == nil {
		if h.in.QueueURL == "" && h.srv.isQueueURL(h.r.URL.Path) {
			h.in.QueueURL = h.r.URL.Path
		}
		var out any
		if out, err = h.runQuery(action); err == nil {
			awsquery.Write(w, xmlNamespace, action, out)
			return
		}
	}
	if api := awserr.Of(err, "InternalError"); api.Code == codeNoQueue {
		err = &awserr.Error{Status: api.Status, Code: "AWS.SimpleQueueService.NonExistentQueue", Message: api.Message}
	}
	awsquery.WriteError(w, err)
}

// runQuery gives what is answered, which is flat.
func (h *call) runQuery(action string) (any, error) {
	if !slices.Contains([]string{"SendMessage", "DeleteMessage", "ChangeMessageVisibility", "PurgeQueue", "GetQueueUrl"}, action) {
		return nil, &awserr.Error{
			Status: http.StatusBadRequest, Code: "InvalidAction",
			Message: fmt.Sprintf("The action %q is not emulated in SQS's query protocol; in its JSON protocol, which SDKs have spoken since 2023, more are.", action),
		}
	}
	answer, err := h.run(action)
	if err != nil || answer == nil {
		return nil, err
	}
	text, err := json.Marshal(answer)
	out := members{}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	return out, err
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
	attributes, err := awsquery.Attributes(form, "MessageAttribute.")
	if err != nil {
		return in, errValue(err.Error())
	}
	for name, a := range attributes {
		in.MessageAttributes[name] = MessageAttribute(a)
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
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if err := e.EncodeElement(m[name], xml.StartElement{Name: xml.Name{Local: name}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}
