package queues

import (
	"encoding/json"
	"strconv"
)

// event is what a function gets of a batch; see "Using Lambda with Amazon SQS".
type event struct {
	Records []record `json:"Records"`
}

type record struct {
	ID            string                     `json:"messageId"`
	Receipt       string                     `json:"receiptHandle"`
	Body          string                     `json:"body"`
	System        systemAttributes           `json:"attributes"`
	Attributes    map[string]recordAttribute `json:"messageAttributes"`
	BodyMD5       string                     `json:"md5OfBody"`
	AttributesMD5 string                     `json:"md5OfMessageAttributes,omitempty"`
	Source        string                     `json:"eventSource"`
	ARN           string                     `json:"eventSourceARN"`
	Region        string                     `json:"awsRegion"`
}

// systemAttributes are those that SQS gives a message.
type systemAttributes struct {
	Receives      string `json:"ApproximateReceiveCount"`
	Sent          string `json:"SentTimestamp"`
	Sender        string `json:"SenderId"`
	FirstReceived string `json:"ApproximateFirstReceiveTimestamp"`
	Trace         string `json:"AWSTraceHeader,omitempty"`
}

// recordAttribute is a MessageAttribute as Lambda spells it.
type recordAttribute struct {
	String      *string  `json:"stringValue,omitempty"`
	Binary      []byte   `json:"binaryValue,omitempty"`
	StringsList []string `json:"stringListValues"`
	BinaryList  [][]byte `json:"binaryListValues"`
	Type        string   `json:"dataType"`
}

// event encodes a batch. The lock is held.
func (q *queue) event(batch []*entry) ([]byte, error) {
	out := event{Records: make([]record, len(batch))}
	for i, e := range batch {
		r := record{
			ID: e.ID, Receipt: e.receipt, Body: e.Body, System: q.system(e), Attributes: map[string]recordAttribute{}, BodyMD5: md5Hex([]byte(e.Body)),
			Source: "aws:sqs", ARN: q.spec.ARN, Region: q.srv.cfg.Template.Region,
		}
		for name, a := range e.Attributes {
			r.Attributes[name] = recordAttribute{String: a.String, Binary: a.Binary, StringsList: []string{}, BinaryList: [][]byte{}, Type: a.Type}
		}
		if len(e.Attributes) > 0 {
			r.AttributesMD5 = md5OfAttributes(e.Attributes)
		}
		out.Records[i] = r
	}
	return json.Marshal(out)
}

func (q *queue) system(e *entry) systemAttributes {
	return systemAttributes{
		Receives: strconv.Itoa(e.Receives), Sent: strconv.FormatInt(e.SentAt.UnixMilli(), 10), Sender: q.srv.cfg.Template.Account,
		FirstReceived: strconv.FormatInt(e.FirstReceived.UnixMilli(), 10), Trace: e.Trace,
	}
}
