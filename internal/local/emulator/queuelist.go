package emulator

import "slices"

// DeadLetters lists what went to the dead-letter queue of a queue, oldest first; named a dead-letter queue, it lists that. A queue
// without one, or an unknown name, has none.
func (s *Server) DeadLetters(queue string) []Message {
	q := s.findQueue(queue)
	if q == nil {
		return nil
	}
	if q.dead != nil {
		q = q.dead
	} else if !slices.ContainsFunc(s.model.queues, func(spec *queueSpec) bool { return spec.deadLetters == q.spec.id }) {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]Message, 0, len(q.backlog.entries.list))
	for _, e := range q.backlog.entries.list {
		out = append(out, e.Message)
	}
	slices.SortFunc(out, func(a, b Message) int { return a.SentAt.Compare(b.SentAt) })
	return out
}

// Waiting lists what is in a queue, in the order in which it may be received: after Close, what is lost with the process unless there is
// a QueueFile.
func (s *Server) Waiting(queue string) []Message {
	q := s.findQueue(queue)
	if q == nil {
		return nil
	}
	q.mu.Lock()
	entries := slices.Clone(q.backlog.entries.list)
	slices.SortFunc(entries, func(a, b *entry) int { return a.visibleAt.Compare(b.visibleAt) })
	out := make([]Message, len(entries))
	for i, e := range entries {
		out[i] = e.Message
	}
	q.mu.Unlock()
	return out
}
