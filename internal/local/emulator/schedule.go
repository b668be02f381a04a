package emulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseRate reads "rate(5 minutes)". Other expressions are not emulated.
func parseRate(expr string) (time.Duration, error) {
	inner, ok := strings.CutPrefix(expr, "rate(")
	inner, closed := strings.CutSuffix(inner, ")")
	fields := strings.Fields(inner)
	if !ok || !closed || len(fields) != 2 {
		return 0, fmt.Errorf("schedule %q is not rate(N minutes|hours|days)", expr)
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil || n < 1 || n > 100_000 {
		return 0, fmt.Errorf("schedule %q: %q is not a number", expr, fields[0])
	}
	switch strings.TrimSuffix(fields[1], "s") {
	case "minute":
		return time.Duration(n) * time.Minute, nil
	case "hour":
		return time.Duration(n) * time.Hour, nil
	case "day":
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return 0, fmt.Errorf("schedule %q: unit %q", expr, fields[1])
}

func (s *Server) bindSchedules() error {
	if s.cfg.NoSchedules {
		return nil
	}
	for _, spec := range s.model.schedules {
		if _, err := s.need(spec.function, spec.line); err != nil {
			return err
		}
	}
	return nil
}

// runSchedule invokes the function once per period; the first time after one period, as on AWS.
func (s *Server) runSchedule(spec *scheduleSpec) {
	fn := s.functions[spec.function]
	ticker := time.NewTicker(spec.every)
	defer ticker.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-ticker.C:
		}
		payload := spec.appendEvent(nil, s.cfg.Now(), s.model)
		s.loops.Go(func() { s.runAsync(fn, payload, KindSchedule) })
	}
}

// appendEvent appends the event of a schedule that has no Input of its own. The two services differ in source and in detail, which is
// an object from an EventBridge rule and a string from EventBridge Scheduler.
func (spec *scheduleSpec) appendEvent(b []byte, at time.Time, m *model) []byte {
	if spec.input != "" {
		return append(b, spec.input...)
	}
	source, detail, kind := "aws.events", `{}`, "events:%s:%s:rule/%s"
	if spec.scheduler {
		source, detail, kind = "aws.scheduler", `"{}"`, "scheduler:%s:%s:schedule/default/%s"
	}
	arn := fmt.Sprintf("arn:aws:"+kind, m.region, m.account, spec.id)
	return fmt.Appendf(b, `{"version":"0","id":%q,"detail-type":"Scheduled Event","source":%q,"account":%q,"time":%q,"region":%q,"resources":[%q],"detail":%s}`,
		newUUID(), source, m.account, at.UTC().Format(time.RFC3339), m.region, arn, detail)
}

// sweep closes connections that were idle or open for too long. One timer serves them all: it is set to the next time at which any of
// them can be due, so a limit may be noticed late by one hundredth of it, at most a second.
func (s *Server) sweep() {
	idle, maxAge := s.cfg.IdleTimeout.Milliseconds(), s.cfg.MaxConnection.Milliseconds()
	shortest := min(s.cfg.IdleTimeout, s.cfg.MaxConnection)
	grain := min(max(shortest/100, time.Millisecond), time.Second)
	timer := time.NewTimer(shortest)
	defer timer.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-timer.C:
		}
		now := s.cfg.Now().UnixMilli()
		next := now + shortest.Milliseconds()
		for c := range s.conns.all() {
			due := min(c.lastActive.Load()+idle, c.connectedAt+maxAge)
			if due <= now {
				c.shut(closing{code: codeGoingAway, reason: reasonGoingAway})
			} else {
				next = min(next, due)
			}
		}
		timer.Reset(max(time.Duration(next-now)*time.Millisecond, grain))
	}
}
