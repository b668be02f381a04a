package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/bellhop-rt/bellhop/internal/hub"
	"github.com/bellhop-rt/bellhop/internal/socketio/packet"
)

// colour is what programs ask clients of Socket.IO.
const colour = "colour?"

// questionID finds the id of a question in its EVENT; it is random beyond the seed.
var questionID = regexp.MustCompile(`42(?:/[a-z]+,)?([0-9]+)\["colour\?"`)

// questions is what was answered to programs, and what they were told of it.
type questions struct {
	said   map[string]string        // what a socket has answered, by socket and question
	kept   map[string]time.Duration // when an answer was kept, by the name of its note
	looked map[string]time.Duration // when it was last looked for
	ids    map[string]string        // of questions, by socket and question
}

func newQuestions() questions {
	return questions{
		said: map[string]string{}, kept: map[string]time.Duration{}, looked: map[string]time.Duration{}, ids: map[string]string{},
	}
}

// note is called when an answer is kept, and look when somebody looks for one.
func (q *questions) note(name string, now time.Duration) {
	if _, is := q.kept[name]; !is && strings.HasPrefix(name, "ack#") {
		q.kept[name] = now
	}
}

func (q *questions) look(name string, now time.Duration) {
	if strings.HasPrefix(name, "ack#") {
		q.looked[name] = now
	}
}

// ask asks who is in a room, or a user. What was asked without an answer is asked anew, if at all.
func (p *program) ask(to hub.Selection) {
	p.n++
	question := fmt.Sprint(p.n)
	c := hub.AskCommand{
		Selection: to, Event: colour, Data: fmt.Appendf(nil, `{"q":%q}`, question), TimeoutMs: int(p.w.between(100*time.Millisecond, 5*time.Second).Milliseconds()),
	}
	var answer hub.Answer
	p.w.invoke("emit "+colour+question, emitTimeout, false, func(ctx context.Context, box sandbox) {
		answer = box.hub.Emit(ctx, c)
	}, func(ok bool) {
		switch {
		case !ok:
		case answer.OK:
			p.w.ledger.checkAnswers(question, answer.Data.(hub.Answers))
		case !answer.Error.Code.Retry():
			p.w.violatef("refused", nil, "%+v: %v", c, answer.Error)
		}
	})
}

// answer is a client's to a question: late, twice, or not at all.
func (d *device) answer(s *socket, in *inbound) {
	var asked struct{ Q string }
	if err := json.Unmarshal(in.Data, &asked); err != nil || asked.Q == "" {
		d.w.violatef("frame", []string{d.name}, "%s is asked %s", d.name, in.Data)
		return
	}
	if d.w.chance(0.15) {
		return
	}
	text, id := fmt.Sprintf(`{"q":%q,"of":%q}`, asked.Q, s.id), *in.packet.ID
	wait := d.w.between(0, 100*time.Millisecond)
	if d.w.chance(0.3) {
		wait = d.w.between(0, 8*time.Second)
	}
	place := s.id + " " + asked.Q
	d.w.ledger.questions.ids[place] = fmt.Sprint(id)
	d.w.after(wait, func() {
		d.w.ledger.questions.said[place] = "[" + text + "]"
		d.w.gateway.send(s, "ack "+asked.Q, packet.AppendAck(nil, "/", id, json.RawMessage(text)), true)
	})
}

// checkAnswers: who asks gets what each socket has said to just this question, once, and all that was kept when it was last looked for.
func (l *ledger) checkAnswers(question string, got hub.Answers) {
	there := map[string]bool{}
	for _, a := range got.Answers {
		about := []string{a.Connection}
		if said := l.questions.said[a.Connection+" "+question]; said == "" || said != string(a.Args) {
			l.w.violatef("not its answer", about, "to question %s %s has answered %q, told is %s", question, a.Connection, said, a.Args)
		}
		if there[a.Connection] {
			l.w.violatef("answered twice", about, "%s is there twice", a.Connection)
		}
		there[a.Connection] = true
		l.w.stats.answers++
	}
	for _, connection := range got.Missing {
		name := "ack#" + connection + "#" + l.questions.ids[connection+" "+question]
		if at, kept := l.questions.kept[name]; kept && at < l.questions.looked[name] || there[connection] {
			l.w.violatef("answer lost", []string{connection}, "question %s was answered by %s, and is said to be missing", question, connection)
		}
	}
}

// call asks the application, until it is answered, and holds that the answer is to this.
func (d *device) call() {
	d.w.program.n++
	n := d.w.program.n
	d.tryCall(fmt.Sprintf("%s.c%d", d.name, n), n)
}

func (d *device) tryCall(id string, n int) {
	if !d.isOpen {
		return
	}
	again := func() { d.tryCall(id, n) }
	d.ask("app:sum", fmt.Sprintf(`"data":{"n":%d}`, n), id, func(in *inbound) {
		if !in.OK {
			d.retry(in, again)
			return
		}
		if did := d.w.owner.calls[d.user+" "+id]; did == "" || did != string(in.Data) {
			d.w.violatef("not its result", []string{id}, "%s was answered %s, the application has said %q", id, in.Data, did)
		}
		d.w.stats.calls++
	}, func() { d.w.after(d.w.between(time.Second, 3*time.Second), again) })
}

// result is what the application has to say to a call, the same to one that comes again.
func (o *owner) result(q hub.Question) json.RawMessage {
	var asked struct{ N int }
	if err := json.Unmarshal(q.Data, &asked); err != nil || q.Action != "app:sum" {
		o.w.violatef("frame", nil, "the application is asked %s %s", q.Action, q.Data)
	}
	name := q.User.ID + " " + q.ID
	if o.w.store.mixesCalls {
		name = q.User.ID
	}
	if o.calls[name] == "" {
		o.calls[name] = fmt.Sprintf(`{"id":%q,"sum":%d}`, q.ID, asked.N+1)
	}
	return json.RawMessage(o.calls[name])
}
