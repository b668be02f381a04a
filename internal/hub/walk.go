package hub

import (
	"context"
	"fmt"
	"iter"
)

// everyMember gives the members of a room, shard after shard, which are read a page at a time. It ends with the first error.
func (h *Hub) everyMember(ctx context.Context, room string, page int) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		shard, shards, after := 0, 1, ""
		for shard < shards {
			got, err := h.store.Members(ctx, room, shard, after, page)
			if err != nil {
				yield(Member{}, fmt.Errorf("read members of %s: %w", room, err))
				return
			}
			for _, m := range got.Members {
				if !yield(m, nil) {
					return
				}
			}
			shards = max(shards, got.Shards)
			if after = got.Next; after == "" {
				shard++
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
