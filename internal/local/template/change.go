package template

import (
	"reflect"
	"slices"
)

// Changes names what a template says in another way than the one before, of what is made when a server starts: queues, topics, rules,
// schedules and tables. Where it stands in the file is no change.
func Changes(before, now *Template) (list []string) {
	for _, c := range []struct {
		name string
		same bool
	}{
		{"queues", reflect.DeepEqual(placeless(before.Queues, placelessQueue), placeless(now.Queues, placelessQueue))},
		{"rules", reflect.DeepEqual(placeless(before.Rules, func(r *Rule) { r.Line = 0 }), placeless(now.Rules, func(r *Rule) { r.Line = 0 }))},
		{"topics", reflect.DeepEqual(before.Topics, now.Topics) &&
			reflect.DeepEqual(placeless(before.Subscriptions, func(s *Subscription) { s.Line = 0 }), placeless(now.Subscriptions, func(s *Subscription) { s.Line = 0 }))},
		{"streams", reflect.DeepEqual(placeless(before.Streams, func(s *Stream) { s.Line = 0 }), placeless(now.Streams, func(s *Stream) { s.Line = 0 }))},
		{"schedules", reflect.DeepEqual(placeless(before.Schedules, func(s *Schedule) { s.Line = 0 }), placeless(now.Schedules, func(s *Schedule) { s.Line = 0 }))},
		{"tables", reflect.DeepEqual(before.Tables, now.Tables)},
	} {
		if !c.same {
			list = append(list, c.name)
		}
	}
	return list
}

// placeless is a copy of a list, each without its place in the file.
func placeless[T any](list []T, forget func(*T)) []T {
	list = slices.Clone(list)
	for i := range list {
		forget(&list[i])
	}
	return list
}

func placelessQueue(q *Queue) {
	q.Line = 0
	if q.Mapping != nil {
		m := *q.Mapping
		m.Line = 0
		q.Mapping = &m
	}
}
