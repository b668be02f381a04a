package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// While a deployment goes on, functions of two versions work on one table and one queue, and programs are older or newer than
// both. So a job and a command say their version, and whoever does not know all that one says does none of it: the queue
// brings it back, until a function that knows it has it. What is left out is version 1, which was written before there were
// numbers.
//
// A change is rolled out so that no version meets what it would misunderstand:
//
//   - A field or a kind that is new needs two releases. The first one reads it and does it, the second writes it. With both in
//     one release, jobs wait for the end of the deployment; and after a rollback they end in the dead-letter queue.
//   - A change of what is there already, a field's meaning or its type, is a new number, in two releases just the same. A job
//     or command is given the lowest number that says it all, so that the older version goes on doing what it can.
//   - Functions before there were numbers pass over what they do not know in a job, and refuse a command with it. So jobs may
//     have their number now, and the package emitter may not write one before version 2.
const (
	jobVersion     = 1
	commandVersion = 1
)

// ErrNewer is what is not known here because a newer version wrote it, or because it is a mistake: that cannot be told apart.
var ErrNewer = errors.New("this version does not know all that is asked")

// numbered is a job in the queue.
type numbered struct {
	Version int `json:"v,omitempty"` // 0: 1
	Job
}

// Encode gives the job's JSON for a queue, without the escapes for HTML, which could double its size.
func (j Job) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(numbered{jobVersion, j}); err != nil {
		return nil, fmt.Errorf("encode %s job: %w", j.Kind, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeJob reads a job of this version or an older one. ErrNewer: it has a number, or somewhere a field, that is not known.
func DecodeJob(text []byte) (Job, error) {
	var j numbered
	if err := json.Unmarshal(text, &j); err != nil {
		return Job{}, fmt.Errorf("decode job: %w", err)
	}
	if j.Version > jobVersion {
		return Job{}, fmt.Errorf("decode %s job: %w: it has version %d, known is %d", j.Kind, ErrNewer, j.Version, jobVersion)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&numbered{}); err != nil {
		return Job{}, fmt.Errorf("decode %s job: %w: %w", j.Kind, ErrNewer, err)
	}
	return j.Job, nil
}

// newer refuses a command in a way that tells a queue to bring it back.
func newer(code protocol.Code, format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrNewer, protocol.Errorf(code, format, args...))
}
