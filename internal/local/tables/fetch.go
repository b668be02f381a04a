package tables

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// libraries are what DynamoDB Local is made of: a SHA-256 and a path in Maven Central, a line each. It is the version that
// infra/dynamodb-local/pom.xml names.
//
//go:embed dynamodb-local.txt
var libraries string

// mavenCentral has them.
const mavenCentral = "https://repo1.maven.org/maven2/"

const (
	fetchTime = 10 * time.Minute
	fetches   = 6 // at once
)

// library is a file that must have a sum.
type library struct{ sum, path string }

func (l library) name() string { return path.Base(l.path) }

func parseLibraries(text string) (list []library) {
	for line := range strings.Lines(text) {
		if sum, where, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			list = append(list, library{sum, where})
		}
	}
	return list
}

// fetch puts the libraries that are not in a folder there, from a repository. Nothing is kept that has another sum.
func fetch(ctx context.Context, list []library, folder, repository string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of DynamoDB Local: %w", err)
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(fetches)
	for _, l := range list {
		if _, err := os.Stat(filepath.Join(folder, l.name())); err == nil {
			continue
		}
		all.Go(func() error {
			if err := fetchOne(ctx, l, folder, repository); err != nil {
				return fmt.Errorf("fetch %s: %w", l.name(), err)
			}
			return nil
		})
	}
	return all.Wait()
}

func fetchOne(ctx context.Context, l library, folder, repository string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, repository+l.path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", request.URL, response.Status)
	}
	file, err := os.CreateTemp(folder, "part-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // if it has not got its name
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), response.Body)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != l.sum {
		return fmt.Errorf("what %s has is another file, with the SHA-256 %s instead of %s", request.URL, got, l.sum)
	}
	return os.Rename(file.Name(), filepath.Join(folder, l.name()))
}
