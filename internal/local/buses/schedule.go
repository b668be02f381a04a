package buses

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/bellhop-rt/bellhop/internal/local/invoke"
	"github.com/bellhop-rt/bellhop/internal/local/template"
)

// schedule is one that runs.
type schedule struct {
	template.Schedule

	every time.Duration
	fn    *invoke.Target
}

// bindSchedules takes rates; the others are only warned of, because a nightly job is no reason not to run the rest.
func (s *Service) bindSchedules() error {
	for _, sc := range s.cfg.Template.Schedules {
		every, err := parseRate(sc.Expression)
		if err != nil {
			s.cfg.Template.Warnf(sc.Line, "%s: %v; it does not run", sc.ID, err)
			continue
		}
		if s.cfg.NoSchedules {
			continue
		}
		fn, err := s.cfg.Functions.Need(sc.Function, sc.Line)
		if err != nil {
			return err
		}
		s.schedules = append(s.schedules, schedule{sc, every, fn})
	}
	return nil
}

// parseRate reads "rate(5 minutes)".
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

// run invokes the function once per period; the first time after one period, as on AWS.
func (s *Service) run(sc schedule) {
	ticker := time.NewTicker(sc.every)
	defer ticker.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case <-ticker.C:
		}
		payload := s.event(sc)
		err := s.cfg.Functions.Async(sc.fn, "", payload, func(begin time.Time, err error) {
			if s.cfg.Observe != nil {
				s.cfg.Observe(Seen{Time: begin, Duration: s.cfg.Now().Sub(begin), Function: sc.fn.ID, Bytes: len(payload), Err: err})
			}
		})
		if err != nil {
			s.cfg.Logger.WarnContext(s.cfg.Functions.Context(), "schedule did not run", "schedule", sc.ID, "error", err)
		}
	}
}

// event is what the function gets, unless the schedule has an Input. The two services differ in source and in detail, which is an object
// from an EventBridge rule and a string from EventBridge Scheduler.
func (s *Service) event(sc schedule) []byte {
	if sc.Input != "" {
		return []byte(sc.Input)
	}
	source, detail, kind := "aws.events", `{}`, "events:%s:%s:rule/%s"
	if sc.Scheduler {
		source, detail, kind = "aws.scheduler", `"{}"`, "scheduler:%s:%s:schedule/default/%s"
	}
	region, account := s.cfg.Template.Region, s.cfg.Template.Account
	arn := fmt.Sprintf("arn:aws:"+kind, region, account, sc.ID)
	return fmt.Appendf(nil, `{"version":"0","id":%q,"detail-type":"Scheduled Event","source":%q,"account":%q,"time":%q,"region":%q,"resources":[%q],"detail":%s}`,
		uuid.NewString(), source, account, s.cfg.Now().UTC().Format(time.RFC3339), region, arn, detail)
}
