package emulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The SQS endpoint: what the AWS SDKs of every language say to the template's queues, in the JSON protocol that they have spoken since
// 2023. Signatures are not checked. See "Making query API requests using AWS JSON protocol" in the Amazon SQS developer guide.

const (
	sqsTarget   = "AmazonSQS."
	codeNoQueue = "QueueDoesNotExist"
	maxBatch    = 10
)

// sqsRequest has the members of all requests.
type sqsRequest struct {
	QueueURL          string                      `json:"QueueUrl"`
	QueueName         string                      `json:"QueueName"`
	QueueNamePrefix   string                      `json:"QueueNamePrefix"`
	Body              string                      `json:"MessageBody"`
	Delay             *int                        `json:"DelaySeconds"`
	MessageAttributes map[string]MessageAttribute `json:"MessageAttributes"`
	AttributeNames    []string                    `json:"AttributeNames"`
	SystemAttributes  []string                    `json:"MessageSystemAttributeNames"`
	WantedAttributes  []string                    `json:"MessageAttributeNames"`
	Most              int                         `json:"MaxNumberOfMessages"`
	Wait              int                         `json:"WaitTimeSeconds"`
	Visibility        *int                        `json:"VisibilityTimeout"`
	Receipt           string                      `json:"ReceiptHandle"`
	Entries           []sqsEntry                  `json:"Entries"`
}

// sqsEntry is one of a batch.
type sqsEntry struct {
	ID                string                      `json:"Id"`
	Body              string                      `json:"MessageBody"`
	Delay             *int                        `json:"DelaySeconds"`
	MessageAttributes map[string]MessageAttribute `json:"MessageAttributes"`
	Receipt           string                      `json:"ReceiptHandle"`
	Visibility        *int                        `json:"VisibilityTimeout"`
}

// OwnsRequest is Owns for a request: it also knows those to the endpoints of SQS and EventBridge, which share their path
// with others.
func (s *Server) OwnsRequest(r *http.Request) bool {
	return isSQS(r) || isEvents(r) || s.Owns(r.URL.EscapedPath())
}

func isSQS(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("X-Amz-Target"), sqsTarget)
}

// QueueURL is the URL of a queue (logical id, name or ARN) at this server, whose own address is base, such as http://127.0.0.1:4000. It is
// empty for a queue that the template does not have.
func (s *Server) QueueURL(base, queue string) string {
	q := s.findQueue(queue)
	if q == nil {
		return ""
	}
	return strings.TrimSuffix(base, "/") + "/" + s.model.account + "/" + q.spec.name
}

func (s *Server) serveSQS(w http.ResponseWriter, r *http.Request) {
	h := sqsCall{srv: s, r: r, base: "http://" + r.Host}
	if r.TLS != nil {
		h.base = "https://" + r.Host
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 4*maxQueueBody)) // a batch with its JSON escapes
	if err == nil {
		err = json.Unmarshal(body, &h.in)
	}
	if err != nil {
		writeSQSError(w, &APIError{Status: http.StatusBadRequest, Code: "MalformedInput", Message: "the request could not be read: " + err.Error()})
		return
	}
	out, err := h.run(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), sqsTarget))
	if err != nil {
		writeSQSError(w, err)
		return
	}
	if out == nil {
		out = struct{}{}
	}
	text, err := json.Marshal(out)
	if err != nil {
		writeSQSError(w, err)
		return
	}
	writeSQS(w, http.StatusOK, text)
}

func writeSQS(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header()["x-amzn-RequestId"] = []string{newUUID()}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeSQSError names the error twice: in the body as the JSON protocol does, and in a header as the older query protocol did, because
// SDKs go on using the old names.
func writeSQSError(w http.ResponseWriter, err error) {
	api, ok := errors.AsType[*APIError](err)
	if !ok {
		api = &APIError{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
	}
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
	writeSQS(w, api.Status, appendStrings(nil, map[string]string{"__type": "com.amazonaws.sqs#" + api.Code, "message": api.Message}))
}

// sqsCall is one request.
type sqsCall struct {
	srv  *Server
	r    *http.Request
	base string
	in   sqsRequest
	q    *queue
}

func (h *sqsCall) run(action string) (any, error) {
	do := h.action(action)
	if do == nil {
		return nil, &APIError{
			Status: http.StatusBadRequest, Code: "UnsupportedOperation",
			Message: action + " is not emulated: queues and their attributes come from the template",
		}
	}
	if action == "ListQueues" {
		return do()
	}
	name := cmp.Or(h.in.QueueURL, h.in.QueueName)
	if h.q = h.srv.findQueue(name); h.q == nil {
		return nil, errNoQueue(name)
	}
	return do()
}

// action is nil for what is not emulated.
func (h *sqsCall) action(name string) func() (any, error) {
	switch name {
	case "ListQueues":
		return h.list
	case "GetQueueUrl":
		return func() (any, error) {
			return map[string]string{"QueueUrl": h.srv.QueueURL(h.base, h.q.spec.id)}, nil
		}
	case "SendMessage":
		return func() (any, error) {
			return h.send(sqsEntry{Body: h.in.Body, Delay: h.in.Delay, MessageAttributes: h.in.MessageAttributes})
		}
	case "SendMessageBatch":
		return h.batch(func(e sqsEntry) (any, error) { return h.send(e) })
	case "ReceiveMessage":
		return h.receive
	case "DeleteMessage":
		return func() (any, error) { return nil, h.q.remove(h.in.Receipt) }
	case "DeleteMessageBatch":
		return h.batch(func(e sqsEntry) (any, error) { return sqsResult{ID: e.ID}, h.q.remove(e.Receipt) })
	case "ChangeMessageVisibility":
		return func() (any, error) { return nil, h.q.changeVisibility(h.in.Receipt, h.in.Visibility) }
	case "ChangeMessageVisibilityBatch":
		return h.batch(func(e sqsEntry) (any, error) {
			return sqsResult{ID: e.ID}, h.q.changeVisibility(e.Receipt, e.Visibility)
		})
	case "PurgeQueue":
		return func() (any, error) { return nil, h.q.purge() }
	case "GetQueueAttributes":
		return h.attributes
	}
	return nil
}

func (h *sqsCall) list() (any, error) {
	urls := []string{}
	for _, spec := range h.srv.model.queues {
		if strings.HasPrefix(spec.name, h.in.QueueNamePrefix) {
			urls = append(urls, h.srv.QueueURL(h.base, spec.id))
		}
	}
	return map[string]any{"QueueUrls": urls}, nil
}

// sqsResult is what is said of one message that was taken.
type sqsResult struct {
	ID            string `json:"Id,omitempty"`
	MessageID     string `json:"MessageId,omitempty"`
	BodyMD5       string `json:"MD5OfMessageBody,omitempty"`
	AttributesMD5 string `json:"MD5OfMessageAttributes,omitempty"`
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func (h *sqsCall) send(e sqsEntry) (sqsResult, error) {
	delay := h.q.spec.delay
	if e.Delay != nil {
		delay = seconds(*e.Delay)
	}
	id, err := h.q.send(Message{Body: e.Body, Attributes: e.MessageAttributes}, delay)
	out := sqsResult{ID: e.ID, MessageID: id, BodyMD5: md5Hex([]byte(e.Body))}
	if len(e.MessageAttributes) > 0 {
		out.AttributesMD5 = md5OfAttributes(e.MessageAttributes)
	}
	return out, err
}

// sqsFailure is what is said of one message of a batch that was not taken.
type sqsFailure struct {
	ID      string `json:"Id"`
	Code    string `json:"Code"`
	Message string `json:"Message"`
	Sender  bool   `json:"SenderFault"`
}

// batch runs each entry; some may fail and others not. What is wrong with the batch as a whole fails all of it.
func (h *sqsCall) batch(one func(sqsEntry) (any, error)) func() (any, error) {
	return func() (any, error) {
		if err := h.checkBatch(); err != nil {
			return nil, err
		}
		return h.each(one), nil
	}
}

func (h *sqsCall) each(one func(sqsEntry) (any, error)) any {
	done, failed := []any{}, []sqsFailure{}
	for _, e := range h.in.Entries {
		out, err := one(e)
		if err == nil {
			done = append(done, out)
			continue
		}
		f := sqsFailure{ID: e.ID, Code: "InternalError", Message: err.Error()}
		if api, ok := errors.AsType[*APIError](err); ok {
			f.Code, f.Message, f.Sender = api.Code, api.Message, api.Status < http.StatusInternalServerError
		}
		failed = append(failed, f)
	}
	return map[string]any{"Successful": done, "Failed": failed}
}

func (h *sqsCall) checkBatch() error {
	bad := func(code, message string) error {
		return &APIError{Status: http.StatusBadRequest, Code: code, Message: message}
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
		case e.ID == "" || len(e.ID) > 80 || strings.Trim(e.ID, stageLetters) != "":
			return bad("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		case seen[e.ID]:
			return bad("BatchEntryIdsNotDistinct", "Id "+e.ID+" repeated.")
		}
		seen[e.ID] = true
		m := Message{Body: e.Body, Attributes: e.MessageAttributes}
		size += m.size()
	}
	if size > maxQueueBody {
		return bad("BatchRequestTooLong", fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxQueueBody, size))
	}
	return nil
}

// sqsMessage is a message as its receiver gets it.
type sqsMessage struct {
	ID                string                      `json:"MessageId"`
	Receipt           string                      `json:"ReceiptHandle"`
	Body              string                      `json:"Body"`
	BodyMD5           string                      `json:"MD5OfBody"`
	Attributes        map[string]string           `json:"Attributes,omitempty"`
	MessageAttributes map[string]MessageAttribute `json:"MessageAttributes,omitempty"`
	AttributesMD5     string                      `json:"MD5OfMessageAttributes,omitempty"`
}

func (h *sqsCall) receive() (any, error) {
	in := h.in
	visibility := h.q.spec.visibility
	if in.Visibility != nil {
		visibility = seconds(*in.Visibility)
	}
	most := max(in.Most, 1)
	if most > maxBatch || in.Most < 0 || in.Wait < 0 || in.Wait > 20 || visibility < 0 || visibility > maxVisibility {
		return nil, errQueueValue("MaxNumberOfMessages must be 1 to 10, WaitTimeSeconds 0 to 20, VisibilityTimeout 0 to 43200")
	}
	messages := []sqsMessage{}
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

func (h *sqsCall) message(e *entry) sqsMessage {
	m := sqsMessage{ID: e.ID, Receipt: e.receipt, Body: e.Body, BodyMD5: md5Hex([]byte(e.Body)), MessageAttributes: map[string]MessageAttribute{}}
	for name, a := range e.Attributes {
		if wants(h.in.WantedAttributes, name) {
			m.MessageAttributes[name] = a
		}
	}
	if len(m.MessageAttributes) > 0 {
		m.AttributesMD5 = md5OfAttributes(m.MessageAttributes)
	}
	m.Attributes = wanted(append(h.in.AttributeNames, h.in.SystemAttributes...), map[string]string{
		"SenderId":                         h.srv.model.account,
		"SentTimestamp":                    strconv.FormatInt(e.SentAt.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(e.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(e.FirstReceived.UnixMilli(), 10),
	})
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

func (h *sqsCall) attributes() (any, error) {
	spec := h.q.spec
	visible, inFlight, delayed := h.q.depth()
	number := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	all := map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
		"VisibilityTimeout":                     number(spec.visibility),
		"MessageRetentionPeriod":                number(spec.retention),
		"DelaySeconds":                          number(spec.delay),
		"MaximumMessageSize":                    strconv.Itoa(spec.maxBody),
		"ReceiveMessageWaitTimeSeconds":         "0",
		"QueueArn":                              spec.arn,
	}
	if h.q.dead != nil {
		all["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, h.q.dead.spec.arn, spec.maxReceives)
	}
	return map[string]any{"Attributes": wanted(h.in.AttributeNames, all)}, nil
}
