package tables

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Local is a DynamoDB Local, AWS's own DynamoDB for one machine, which is fetched once and keeps everything in memory.
type Local struct {
	Cache string            // where it is fetched to
	Say   func(text string) // what a person wants to know meanwhile; nil: nothing
}

const (
	leastJava  = 17
	startTime  = time.Minute
	startTries = 3 // a port that was free can be taken before Java has it
)

// another says what can be done without a DynamoDB Local of ours.
const another = "or run a DynamoDB yourself, as by docker run -p 8000:8000 amazon/dynamodb-local, and give its URL: --dynamodb http://127.0.0.1:8000"

// Start runs it until stop is called.
func (l Local) Start(ctx context.Context) (url string, stop func(), err error) {
	if err := checkJava(ctx); err != nil {
		return "", nil, fmt.Errorf("--dynamodb local: %w", err)
	}
	list := parseLibraries(libraries)
	folder := filepath.Join(l.Cache, "dynamodb-local", list[0].sum[:12])
	if _, err := os.Stat(filepath.Join(folder, "complete")); err != nil {
		if l.Say != nil {
			l.Say("fetching DynamoDB Local once (49 MB from Maven Central), into " + folder)
		}
		if err := fetch(ctx, list, folder, mavenCentral); err != nil {
			return "", nil, fmt.Errorf("--dynamodb local: %w: try again, %s", err, another)
		}
		if err := os.WriteFile(filepath.Join(folder, "complete"), nil, 0o600); err != nil {
			return "", nil, fmt.Errorf("--dynamodb local: %w", err)
		}
	}
	for range startTries {
		if url, stop, err = run(ctx, folder); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return "", nil, fmt.Errorf("--dynamodb local: %w", err)
	}
	return url, stop, nil
}

// javaVersion is in what java -version says: 17.0.15, 21, 1.8.0_412.
var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

func checkJava(ctx context.Context) error {
	text, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("DynamoDB Local needs Java %d or newer, and there is none (%w): install it, as by apt-get install default-jre-headless or brew install openjdk, %s", leastJava, err, another)
	}
	found := javaVersion.FindSubmatch(text)
	if found == nil {
		return nil // it will show
	}
	if version, err := strconv.Atoi(string(found[1])); err == nil && version < leastJava {
		return fmt.Errorf("DynamoDB Local needs Java %d or newer, and this is %d: install a newer one, %s", leastJava, version, another)
	}
	return nil
}

// run starts a process, and waits until it answers.
func run(ctx context.Context, folder string) (url string, stop func(), err error) {
	port, err := freePort(ctx)
	if err != nil {
		return "", nil, err
	}
	// It has to outlive ctx: what is stored at the end is stored there.
	command := exec.CommandContext(context.WithoutCancel(ctx), "java", "-Xmx1g", "-Djava.library.path="+folder, "-cp", filepath.Join(folder, "*"), //nolint:gosec // what was fetched
		"software.amazon.dynamodb.services.local.main.ServerRunner", "-inMemory", "-sharedDb", "-disableTelemetry", "-port", strconv.Itoa(port))
	ownGroup(command) // an interrupt from the keyboard is for this program alone
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		return "", nil, fmt.Errorf("start DynamoDB Local: %w", err)
	}
	var ended error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended = command.Wait()
	}()
	stop = func() {
		_ = command.Process.Kill() // there is nothing that it would have to keep
		<-done
	}
	url = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	late := time.NewTimer(startTime)
	defer late.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, url) {
		select {
		case <-tick.C:
		case <-done:
			return "", nil, fmt.Errorf("DynamoDB Local did not start: %w: %s", ended, strings.TrimSpace(said.String()))
		case <-late.C:
			stop()
			return "", nil, fmt.Errorf("DynamoDB Local does not answer after %s", startTime)
		case <-ctx.Done():
			stop()
			return "", nil, ctx.Err()
		}
	}
	return url, stop, nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port for DynamoDB Local: %w", err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a port for DynamoDB Local: %w", err)
	}
	return strconv.Atoi(port)
}

// answers reports whether something speaks HTTP there: DynamoDB Local answers a bare GET with 400.
func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}
