package hub

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/bellhop-rt/bellhop/internal/protocol"
)

// everyMember gives the members of a room, shard after shard, which are read a page at a time. It ends with the first error.
func (h *Hub) everyMember(ctx context.Context, room string, page int) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		var err error
		for _, m := range h.membersAfter(ctx, room, memberPlace{}, page, &err) {
			if !yield(m, nil) {
				return
			}
		}
		if err != nil {
			yield(Member{}, err)
		}
	}
}

// memberPlace is a place among the members of a room, as [MembersCommand] gives and takes it: "3/8:L0SM9cOFvHcCIhw=".
type memberPlace struct {
	shard, shards int
	after         string // connection; empty: the beginning of the shard
}

func (p memberPlace) String() string { return fmt.Sprintf("%d/%d:%s", p.shard, p.shards, p.after) }

// readPlace reads what String gave; an empty text is the beginning.
func readPlace(text string) (p memberPlace, err error) {
	if text == "" {
		return p, nil
	}
	place, after, found := strings.Cut(text, ":")
	shard, shards, _ := strings.Cut(place, "/")
	p.shard, err = strconv.Atoi(shard)
	if err == nil {
		p.shards, err = strconv.Atoi(shards)
	}
	if err != nil || !found || p.shard < 0 || p.shard >= p.shards || p.shards > maxShards || protocol.CheckID(after) != nil {
		return p, protocol.Errorf(protocol.CodeBadRequest, `after must be the "next" of the page before`)
	}
	p.after = after
	return p, nil
}

// membersAfter gives the members of a room after a place, each with its own. Where it ends early, err says why.
func (h *Hub) membersAfter(ctx context.Context, room string, p memberPlace, page int, err *error) iter.Seq2[memberPlace, Member] {
	return func(yield func(memberPlace, Member) bool) {
		for p.shards = max(p.shards, 1); p.shard < p.shards; {
			got, readErr := h.store.Members(ctx, room, p.shard, p.after, page)
			if readErr != nil {
				*err = fmt.Errorf("read members of %s: %w", room, readErr)
				return
			}
			p.shards = max(p.shards, got.Shards)
			for _, m := range got.Members {
				if !yield(memberPlace{p.shard, p.shards, m.Connection}, m) {
					return
				}
			}
			if p.after = got.Next; p.after == "" {
				p.shard++
			}
		}
	}
}

// everyPresence gives those who are present in a room after a user, by user id. It ends with the first error.
func (h *Hub) everyPresence(ctx context.Context, room, after string) iter.Seq2[Here, error] {
	return func(yield func(Here, error) bool) {
		for {
			page, err := h.store.Present(ctx, room, after, h.limits.Page)
			if err != nil {
				yield(Here{}, fmt.Errorf("read presence of %s: %w", room, err))
				return
			}
			for _, here := range page {
				if after = here.User; here.present() && !yield(here, nil) {
					return
				}
			}
			if len(page) < h.limits.Page {
				return
			}
		}
	}
}

// eachConnection walks all rows, some partitions at the same time.
func (h *Hub) eachConnection(ctx context.Context, parallel int, do func(c Connection) error) error {
	return each(Partitions, parallel, func(partition int) error {
		for after := ""; ; {
			rows, err := h.store.Walk(ctx, partition, after, h.limits.Page)
			if err != nil {
				return fmt.Errorf("walk partition %d: %w", partition, err)
			}
			for _, c := range rows {
				if err := do(c); err != nil {
					return err
				}
				after = c.ID
			}
			if len(rows) < h.limits.Page {
				return nil
			}
		}
	})
}
