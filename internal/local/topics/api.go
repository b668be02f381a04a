package topics

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/local/awserr"
	"github.com/bellhop-rt/bellhop/internal/local/awsquery"
	"github.com/bellhop-rt/bellhop/internal/local/invoke"
)

const (
	namespace = "http://sns.amazonaws.com/doc/2010-03-31/"
	maxBatch  = 10
	maxForm   = 4 << 20 // a batch with its percent signs
)

// Owns reports whether a request is SNS's: a form that is signed for it, since its path is shared with others.
func (s *Service) Owns(r *http.Request) bool {
	return r.Method == http.MethodPost && awsquery.IsForm(r) && strings.Contains(r.Header.Get("Authorization"), "/sns/aws4_request")
}

// published is one message of a batch that was taken, and refused one that was not.
type published struct {
	ID      string `xml:"Id,omitempty"`
	Message string `xml:"MessageId"`
}

type refused struct {
	ID      string `xml:"Id"`
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
	Sender  bool   `xml:"SenderFault"`
}

// ServeHTTP serves the Publish and PublishBatch of https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, on any path.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	form, err := awsquery.Read(r, maxForm)
	if err != nil {
		awsquery.WriteError(w, err)
		return
	}
	var out any
	l := invoke.LineageOf(r.Header.Get(invoke.TraceHeader))
	switch action := form.Get("Action"); action {
	case "Publish":
		out, err = s.one(form, "", l)
	case "PublishBatch":
		out, err = s.batch(form, l)
	default:
		err = &awserr.Error{
			Status: http.StatusBadRequest, Code: "InvalidAction",
			Message: fmt.Sprintf("%s is not emulated: topics and subscriptions come from the template, and Publish and PublishBatch are what is served", action),
		}
	}
	if err != nil {
		awsquery.WriteError(w, err)
		return
	}
	awsquery.Write(w, namespace, form.Get("Action"), out)
}

// one publishes the message whose fields have a prefix.
func (s *Service) one(form url.Values, prefix string, l invoke.Lineage) (published, error) {
	out := published{ID: form.Get(prefix + "Id")}
	topic := form.Get("TopicArn")
	if topic == "" {
		topic = form.Get("TargetArn")
	}
	if topic == "" {
		return out, errParameter("TopicArn or TargetArn Reason: no value for required parameter; numbers of phones are not reached from here")
	}
	attributes, err := awsquery.Attributes(form, prefix+"MessageAttributes.entry.")
	if err != nil {
		return out, errParameter(err.Error())
	}
	out.Message, err = s.Publish(Message{
		Topic: topic, Subject: form.Get(prefix + "Subject"), Body: form.Get(prefix + "Message"), Structured: form.Get(prefix+"MessageStructure") == "json",
		Attributes: attributes, Lineage: l,
	})
	return out, err
}

func (s *Service) batch(form url.Values, l invoke.Lineage) (any, error) {
	var out struct {
		Successful []published `xml:"Successful>member"`
		Failed     []refused   `xml:"Failed>member"`
	}
	const entry = "PublishBatchRequestEntries.member.%d."
	n := 0
	for form.Has(fmt.Sprintf(entry, n+1) + "Id") {
		n++
	}
	switch {
	case n == 0:
		return nil, &awserr.Error{Status: http.StatusBadRequest, Code: "EmptyBatchRequest", Message: "The batch request doesn't contain any entries."}
	case n > maxBatch:
		return nil, &awserr.Error{Status: http.StatusBadRequest, Code: "TooManyEntriesInBatchRequest", Message: fmt.Sprintf("The batch request contains more than %d entries.", maxBatch)}
	}
	for i := range n {
		done, err := s.one(form, fmt.Sprintf(entry, i+1), l)
		if err != nil {
			api := awserr.Of(err, "InternalError")
			out.Failed = append(out.Failed, refused{done.ID, api.Code, api.Message, api.Status < http.StatusInternalServerError})
			continue
		}
		out.Successful = append(out.Successful, done)
	}
	return out, nil
}
