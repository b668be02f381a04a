package dynamo

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Restore copies logs from a table that was restored from a backup to the one that is in use, and gives the number of rows: the
// entries, the ids that are remembered, and where each room's counter stands, without which the next publish would count from 1 into
// entries that there are. What is about connections stays behind, since those are gone. Each room gets a new epoch: clients have seen
// more of the old one than the backup has, and are told to reload. Of rooms that have a log in both tables nothing is copied.
//
// wanted picks rooms by their names; nil: all.
func Restore(ctx context.Context, client *dynamodb.Client, from, to string, wanted func(room string) bool) (int, error) {
	kept := map[string]bool{} // rooms that the table in use has a log of
	err := scan(ctx, client, to, func(row item) error {
		if room, _ := restored(row); room != "" && textOf(row, "epoch") != "" {
			kept[room] = true
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	n := 0
	err = scan(ctx, client, from, func(row item) error {
		room, ok := restored(row)
		if !ok || kept[room] || wanted != nil && !wanted(room) {
			return nil
		}
		if textOf(row, "sk") == metaKey {
			delete(row, "epoch")
			delete(row, "began")
			delete(row, "occupied")
		}
		if _, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &to, Item: row}); err != nil {
			return fmt.Errorf("put a row of %s: %w", room, err)
		}
		n++
		return nil
	})
	return n, err
}

// restored reports whether a row outlives connections, and which room it is of.
func restored(row item) (room string, ok bool) {
	kind, name, _ := strings.Cut(textOf(row, "pk"), "#")
	switch kind {
	case "log", "dedup":
		return name, true
	case "room":
		room, shard := name[:max(strings.LastIndexByte(name, '#'), 0)], name[strings.LastIndexByte(name, '#')+1:]
		return room, shard == "0" && textOf(row, "sk") == metaKey
	}
	return "", false
}

// scan reads a whole table.
func scan(ctx context.Context, client *dynamodb.Client, table string, each func(item) error) error {
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ReturnConsumedCapacity: types.ReturnConsumedCapacityNone})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("scan table %s: %w", table, err)
		}
		for _, row := range page.Items {
			if err := each(row); err != nil {
				return err
			}
		}
	}
	return nil
}
