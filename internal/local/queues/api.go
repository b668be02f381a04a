package queues

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/awsquery"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

// The SQS endpoint: what the AWS SDKs of every language say to the template's queues, in the JSON protocol that they have spoken since
// 2023. Signatures are not checked. See "Making query API requests using AWS JSON protocol" in the Amazon SQS developer guide.

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

const (
	target      = "AmazonSQS."
	codeNoQueue = "QueueDoesNotExist"
	maxBatch    = 10

	maxBatchBytes = 1 << 20 // "Amazon SQS message quotas"
)

// request has the members of all requests.
type request struct {
	QueueURL          string                      `json:"QueueUrl"`
	QueueName         string                      `json:"QueueName"`
	QueueNamePrefix   string                      `json:"QueueNamePrefix"`
	Body              string                      `json:"MessageBody"`
	Delay             *int                        `json:"DelaySeconds"`
	MessageAttributes map[string]MessageAttribute `json:"MessageAttributes"`
	Given             systemGiven                 `json:"MessageSystemAttributes"`
	AttributeNames    []string                    `json:"AttributeNames"`
	SystemAttributes  []string                    `json:"MessageSystemAttributeNames"`
	WantedAttributes  []string                    `json:"MessageAttributeNames"`
	Most              int                         `json:"MaxNumberOfMessages"`
	Wait              int                         `json:"WaitTimeSeconds"`
	Visibility        *int                        `json:"VisibilityTimeout"`
	Receipt           string                      `json:"ReceiptHandle"`
	Entries           []batchEntry                `json:"Entries"`
}

// batchEntry is one of a batch.
type batchEntry struct {
	ID                string                      `json:"Id"`
	Body              string                      `json:"MessageBody"`
	Delay             *int                        `json:"DelaySeconds"`
	MessageAttributes map[string]MessageAttribute `json:"MessageAttributes"`
	Given             systemGiven                 `json:"MessageSystemAttributes"`
	Receipt           string                      `json:"ReceiptHandle"`
	Visibility        *int                        `json:"VisibilityTimeout"`
}

// systemGiven are the system attributes that a sender may give.
type systemGiven struct {
	Trace struct {
		Value string `json:"StringValue"`
	} `json:"AWSTraceHeader"`
}

// Owns reports whether a request is SQS's: by a header, since its path is shared with others, or because it is a form that is posted to a
// queue's URL.
func (s *Service) Owns(r *http.Request) bool {
	return r.Method == http.MethodPost && (strings.HasPrefix(r.Header.Get("X-Amz-Target"), target) || awsquery.IsForm(r) && s.isQueueURL(r.URL.Path))
}

// ServeHTTP serves the API, on any path.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := call{srv: s, r: r, base: "http://" + r.Host}
	if r.TLS != nil {
		h.base = "https://" + r.Host
	}
	if awsquery.IsForm(r) {
		h.query(w)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 4*maxBatchBytes)) // a batch with its JSON escapes
	if err == nil {
		err = json.Unmarshal(body, &h.in)
	}
	if err != nil {
		writeError(w, &awserr.Error{Status: http.StatusBadRequest, Code: "MalformedInput", Message: "the request could not be read: " + err.Error()})
		return
	}
	out, err := h.run(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target))
	if err != nil {
		writeError(w, err)
		return
	}
	if out == nil {
		out = struct{}{}
	}
	write(w, http.StatusOK, out)
}

func write(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header()["x-amzn-RequestId"] = []string{uuid.NewString()}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeError names the error twice: in the body as the JSON protocol does, and in a header as the older query protocol did, because
// SDKs go on using the old names.
func writeError(w http.ResponseWriter, err error) {
	api := awserr.Of(err, "InternalError")
	old := api.Code
	switch api.Code {
	case codeNoQueue:
		old = "AWS.SimpleQueueService.NonExistentQueue"
	case "EmptyBatchRequest", "TooManyEntriesInBatchRequest", "BatchEntryIdsNotDistinct", "BatchRequestTooLong", "InvalidBatchEntryId", "UnsupportedOperation":
		old = "AWS.SimpleQueueService." + api.Code
	}
	fault := "Sender"
	if api.Status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	w.Header()["x-amzn-query-error"] = []string{old + ";" + fault}
	write(w, api.Status, map[string]string{"__type": "com.amazonaws.sqs#" + api.Code, "message": api.Message})
}

// call is one request.
type call struct {
	srv  *Service
	r    *http.Request
	base string
	in   request
	q    *queue
}

func (h *call) run(action string) (any, error) {
	do := h.action(action)
	if do == nil {
		return nil, &awserr.Error{
			Status: http.StatusBadRequest, Code: "UnsupportedOperation",
			Message: action + " is not emulated: queues and their attributes come from the template",
		}
	}
	if action == "ListQueues" {
		return do()
	}
	name := cmp.Or(h.in.QueueURL, h.in.QueueName)
	if h.q = h.srv.find(name); h.q == nil {
		return nil, errNoQueue(name)
	}
	return do()
}

// action is nil for what is not emulated.
func (h *call) action(name string) func() (any, error) {
	switch name {
	case "ListQueues":
		return h.list
	case "GetQueueUrl":
		return func() (any, error) {
			return map[string]string{"QueueUrl": h.srv.URL(h.base, h.q.spec.ID)}, nil
		}
	case "SendMessage":
		return func() (any, error) {
			return h.send(batchEntry{Body: h.in.Body, Delay: h.in.Delay, MessageAttributes: h.in.MessageAttributes, Given: h.in.Given})
		}
	case "SendMessageBatch":
		return h.batch(func(e batchEntry) (any, error) { return h.send(e) })
	case "ReceiveMessage":
		return h.receive
	case "DeleteMessage":
		return func() (any, error) { return nil, h.q.remove(h.in.Receipt) }
	case "DeleteMessageBatch":
		return h.batch(func(e batchEntry) (any, error) { return sent{ID: e.ID}, h.q.remove(e.Receipt) })
	case "ChangeMessageVisibility":
		return func() (any, error) { return nil, h.q.changeVisibility(h.in.Receipt, h.in.Visibility) }
	case "ChangeMessageVisibilityBatch":
		return h.batch(func(e batchEntry) (any, error) {
			return sent{ID: e.ID}, h.q.changeVisibility(e.Receipt, e.Visibility)
		})
	case "PurgeQueue":
		return func() (any, error) { return nil, h.q.purge() }
	case "GetQueueAttributes":
		return h.attributes
	}
	return nil
}

func (h *call) list() (any, error) {
	urls := []string{}
	for _, q := range h.srv.queues {
		if strings.HasPrefix(q.spec.Name, h.in.QueueNamePrefix) {
			urls = append(urls, h.srv.URL(h.base, q.spec.ID))
		}
	}
	return map[string]any{"QueueUrls": urls}, nil
}

// sent is what is said of one message that was taken.
type sent struct {
	ID            string `json:"Id,omitempty"`
	MessageID     string `json:"MessageId,omitempty"`
	BodyMD5       string `json:"MD5OfMessageBody,omitempty"`
	AttributesMD5 string `json:"MD5OfMessageAttributes,omitempty"`
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func (h *call) send(e batchEntry) (sent, error) {
	delay := h.q.spec.Delay
	if e.Delay != nil {
		delay = seconds(*e.Delay)
	}
	trace := cmp.Or(e.Given.Trace.Value, h.r.Header.Get(invoke.TraceHeader))
	id, err := h.q.send(Message{Body: e.Body, Attributes: e.MessageAttributes, Trace: trace}, delay)
	out := sent{ID: e.ID, MessageID: id, BodyMD5: md5Hex([]byte(e.Body))}
	if len(e.MessageAttributes) > 0 {
		out.AttributesMD5 = md5OfAttributes(e.MessageAttributes)
	}
	return out, err
}

// failure is what is said of one message of a batch that was not taken.
type failure struct {
	ID      string `json:"Id"`
	Code    string `json:"Code"`
	Message string `json:"Message"`
	Sender  bool   `json:"SenderFault"`
}

// batch runs each entry; some may fail and others not. What is wrong with the batch as a whole fails all of it.
func (h *call) batch(one func(batchEntry) (any, error)) func() (any, error) {
	return func() (any, error) {
		if err := h.checkBatch(); err != nil {
			return nil, err
		}
		return h.each(one), nil
	}
}

func (h *call) each(one func(batchEntry) (any, error)) any {
	done, failed := []any{}, []failure{}
	for _, e := range h.in.Entries {
		out, err := one(e)
		if err == nil {
			done = append(done, out)
			continue
		}
		api := awserr.Of(err, "InternalError")
		failed = append(failed, failure{ID: e.ID, Code: api.Code, Message: api.Message, Sender: api.Status < http.StatusInternalServerError})
	}
	return map[string]any{"Successful": done, "Failed": failed}
}

func (h *call) checkBatch() error {
	bad := func(code, message string) error {
		return &awserr.Error{Status: http.StatusBadRequest, Code: code, Message: message}
	}
	switch n := len(h.in.Entries); {
	case n == 0:
		return bad("EmptyBatchRequest", "There should be at least one entry in the request.")
	case n > maxBatch:
		return bad("TooManyEntriesInBatchRequest", fmt.Sprintf("Maximum number of entries per request are %d. You have sent %d.", maxBatch, n))
	}
	seen, size := map[string]bool{}, 0
	for _, e := range h.in.Entries {
		switch {
		case e.ID == "" || len(e.ID) > 80 || strings.Trim(e.ID, idLetters) != "":
			return bad("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		case seen[e.ID]:
			return bad("BatchEntryIdsNotDistinct", "Id "+e.ID+" repeated.")
		}
		seen[e.ID] = true
		m := Message{Body: e.Body, Attributes: e.MessageAttributes}
		size += m.size()
	}
	if size > maxBatchBytes {
		return bad("BatchRequestTooLong", fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, size))
	}
	return nil
}

// received is a message as its receiver gets it.
type received struct {
	ID                string                      `json:"MessageId"`
	Receipt           string                      `json:"ReceiptHandle"`
	Body              string                      `json:"Body"`
	BodyMD5           string                      `json:"MD5OfBody"`
	Attributes        map[string]string           `json:"Attributes,omitempty"`
	MessageAttributes map[string]MessageAttribute `json:"MessageAttributes,omitempty"`
	AttributesMD5     string                      `json:"MD5OfMessageAttributes,omitempty"`
}

func (h *call) receive() (any, error) {
	in := h.in
	visibility := h.q.spec.Visibility
	if in.Visibility != nil {
		visibility = seconds(*in.Visibility)
	}
	most := max(in.Most, 1)
	if most > maxBatch || in.Most < 0 || in.Wait < 0 || in.Wait > 20 || visibility < 0 || visibility > maxVisibility {
		return nil, errValue("MaxNumberOfMessages must be 1 to 10, WaitTimeSeconds 0 to 20, VisibilityTimeout 0 to 43200")
	}
	messages := []received{}
	batch := h.q.poll(h.r.Context().Done(), most, visibility, seconds(in.Wait))
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	for _, e := range batch {
		messages = append(messages, h.message(e))
	}
	if len(messages) == 0 {
		return nil, nil //nolint:nilnil // an empty answer
	}
	return map[string]any{"Messages": messages}, nil
}

func (h *call) message(e *entry) received {
	m := received{ID: e.ID, Receipt: e.receipt, Body: e.Body, BodyMD5: md5Hex([]byte(e.Body)), MessageAttributes: map[string]MessageAttribute{}}
	for name, a := range e.Attributes {
		if wants(h.in.WantedAttributes, name) {
			m.MessageAttributes[name] = a
		}
	}
	if len(m.MessageAttributes) > 0 {
		m.AttributesMD5 = md5OfAttributes(m.MessageAttributes)
	}
	system := h.q.system(e)
	all := map[string]string{
		"SenderId": system.Sender, "SentTimestamp": system.Sent,
		"ApproximateReceiveCount": system.Receives, "ApproximateFirstReceiveTimestamp": system.FirstReceived,
	}
	if system.Trace != "" {
		all["AWSTraceHeader"] = system.Trace
	}
	m.Attributes = wanted(append(h.in.AttributeNames, h.in.SystemAttributes...), all)
	return m
}

// wants reports whether a name was asked for: by itself, by its prefix ("order.*"), or with all.
func wants(names []string, name string) bool {
	for _, n := range names {
		prefix, all := strings.CutSuffix(n, ".*")
		if n == name || n == "All" || all && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func wanted(names []string, all map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range all {
		if wants(names, name) {
			out[name] = value
		}
	}
	return out
}

func (h *call) attributes() (any, error) {
	spec := h.q.spec
	visible, inFlight, delayed := h.q.depth()
	number := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	all := map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
		"VisibilityTimeout":                     number(spec.Visibility),
		"MessageRetentionPeriod":                number(spec.Retention),
		"DelaySeconds":                          number(spec.Delay),
		"MaximumMessageSize":                    strconv.Itoa(spec.MaxBody),
		"ReceiveMessageWaitTimeSeconds":         "0",
		"QueueArn":                              spec.ARN,
	}
	if h.q.dead != nil {
		all["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, h.q.dead.spec.ARN, spec.MaxReceives)
	}
	return map[string]any{"Attributes": wanted(h.in.AttributeNames, all)}, nil
}
