package security

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/bellhop-rt/bellhop/internal/check/servertest"
)

// dev is a running `bellhop dev`, the program itself.
type dev struct {
	*servertest.Program
	tb     testing.TB
	folder string // of its data
}

// startDev runs it until the test ends, or it is stopped.
func startDev(tb testing.TB, secret string) *dev {
	tb.Helper()
	folder := tb.TempDir()
	p := servertest.Launch(tb, servertest.Build(tb), []string{"BELLHOP_JWT_SECRET=" + secret}, "--data", folder, "--record", filepath.Join(folder, "cost.json"))
	return &dev{p, tb, folder}
}

// get reads a path under /_bellhop/.
func (d *dev) get(path string) string {
	d.tb.Helper()
	return d.do(http.MethodGet, path, "")
}

func (d *dev) do(method, path, body string) string {
	d.tb.Helper()
	req, err := http.NewRequestWithContext(d.tb.Context(), method, d.URL+path, strings.NewReader(body))
	if err != nil {
		d.tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= http.StatusBadRequest {
		d.tb.Fatalf("%s %s: %s %v %s", method, path, res.Status, err, text)
	}
	return string(text)
}

// stream reads what the console's stream has, as far as it contains until.
func (d *dev) stream(until string) string {
	d.tb.Helper()
	ctx, cancel := context.WithTimeout(d.tb.Context(), servertest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+"/_bellhop/events", http.NoBody)
	if err != nil {
		d.tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.tb.Fatal(err)
	}
	defer res.Body.Close()
	var text strings.Builder
	lines := bufio.NewReader(res.Body)
	for !strings.Contains(text.String(), until) {
		line, err := lines.ReadString('\n')
		if err != nil {
			d.tb.Fatalf("the stream has no %q: %v", until, err)
		}
		text.WriteString(line)
	}
	return text.String()
}

// dial connects, and gives the status of the handshake.
func (d *dev) dial(query, origin string, subprotocols ...string) (*websocket.Conn, int) {
	d.tb.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	//nolint:bodyclose // Dial's own comment: you never need to close it
	conn, res, err := websocket.Dial(d.tb.Context(), strings.Replace(d.URL, "http", "ws", 1)+"/dev"+query, &websocket.DialOptions{
		Subprotocols: subprotocols, HTTPHeader: header,
	})
	if err != nil && res == nil {
		d.tb.Fatal(err)
	}
	if conn != nil {
		d.tb.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, res.StatusCode
}

// open connects with a token.
func (d *dev) open(token string) *websocket.Conn {
	d.tb.Helper()
	conn, status := d.dial("", "", "bellhop.v1", "bearer."+token)
	if status != http.StatusSwitchingProtocols {
		d.tb.Fatalf("handshake: %d", status)
	}
	return conn
}

// ask sends a frame with the id "q" and gives its reply.
func (d *dev) ask(conn *websocket.Conn, frame string) string {
	d.tb.Helper()
	return d.packet(conn, frame, `{"reply":"q"`)
}

// packet sends a frame and gives the first that begins in a way.
func (d *dev) packet(conn *websocket.Conn, frame, prefix string) string {
	d.tb.Helper()
	ctx, cancel := context.WithTimeout(d.tb.Context(), servertest.Patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		d.tb.Fatal(err)
	}
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			d.tb.Fatalf("no reply to %s: %v", frame, err)
		}
		if bytes.HasPrefix(text, []byte(prefix)) {
			return string(text)
		}
	}
}

func (d *dev) must(conn *websocket.Conn, frame, want string) string {
	d.tb.Helper()
	got := d.ask(conn, frame)
	if !strings.Contains(got, want) {
		d.tb.Errorf("%s is answered %s, want %s", frame, got, want)
	}
	return got
}

// TestDevKeepsTokens: what `bellhop dev` prints, shows to developers and stores has neither tokens nor the secret in it.
func TestDevKeepsTokens(t *testing.T) {
	issuer := byKey(t)
	d := startDev(t, issuer.secret)
	good, renewed, bobs := issuer.sign(t, "ana", 0), issuer.sign(t, "ana", 60), issuer.sign(t, "bob", 0)
	expired, forged := issuer.sign(t, "ana", -7200), issuer.forge(t, "ana")
	for _, c := range []struct {
		query, origin string
		subprotocols  []string
		want          int
	}{
		{"", "", []string{"bellhop.v1", "bearer." + good}, http.StatusSwitchingProtocols},
		{"?token=" + good, "", nil, http.StatusSwitchingProtocols},
		{"", "https://evil.example", []string{"bellhop.v1", "bearer." + good}, http.StatusForbidden},
		{"", "", []string{"bellhop.v1", "bearer." + expired}, http.StatusUnauthorized},
		{"?token=" + forged, "", nil, http.StatusUnauthorized},
		{"", "", []string{"graphql-ws", "bearer." + good}, http.StatusBadRequest},
	} {
		if _, status := d.dial(c.query, c.origin, c.subprotocols...); status != c.want {
			t.Errorf("%.10s %s %d: got %d, want %d", c.query, c.origin, len(c.subprotocols), status, c.want)
		}
	}
	ana := d.open(good)
	d.must(ana, `{"action":"join","id":"q","room":"channel:1"}`, `"ok":true`)
	d.must(ana, `{"action":"publish","id":"q","room":"channel:1","event":"message:new","data":{"content":"hi"}}`, `"ok":true`)
	d.must(ana, `{"action":"auth","id":"q","token":"`+renewed+`"}`, `"ok":true`)
	for _, wrong := range []string{bobs, expired, forged} {
		d.must(ana, `{"action":"auth","id":"q","token":"`+wrong+`"}`, `"ok":false`)
	}
	for _, token := range []string{forged, good} { // a client of Socket.IO says who it is in its first packet
		socket, status := d.dial("?EIO=4&transport=websocket", "")
		if status != http.StatusSwitchingProtocols {
			t.Fatalf("Socket.IO: %d", status)
		}
		want := map[string]string{forged: "44{", good: "40{"}[token]
		if got := d.packet(socket, `40{"token":"`+token+`"}`, "4"); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s…", got, want)
		}
	}
	d.must(ana, `{"action":"history","id":"q","room":"channel:1","before":5}`, `"ok":true`)

	secrets := []string{good, renewed, bobs, expired, forged, issuer.secret}
	noneOf(t, "the console's stream", d.stream(`\"before\":5`), secrets)
	for _, path := range []string{"stats", "connections", "overview", "cost", "traces", "trace/q", "rooms/channel:1"} {
		noneOf(t, path, d.get("/_bellhop/"+path), secrets)
	}
	d.Stop()
	if !strings.Contains(d.Printed(), "(holds a token)") || !strings.Contains(d.Printed(), "refused 401") {
		t.Errorf("it did not print what happened: %s", d.Printed())
	}
	noneOf(t, "what it prints", d.Printed(), secrets)
	files := 0
	err := filepath.WalkDir(d.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		noneOf(t, path, string(text), secrets)
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files in its folder: %v", files, err)
	}
}

// TestClaimedIdentity: whoever knows the connection id of another user can do nothing with it. A client's frame has no
// place for an identity; what it writes there is ignored.
func TestClaimedIdentity(t *testing.T) {
	issuer := byKey(t)
	d := startDev(t, issuer.secret)
	ana, eve := d.open(issuer.sign(t, "ana", 0)), d.open(issuer.sign(t, "eve", 0))
	type row struct {
		ID, User string
		Rooms    []string
	}
	rows := func() map[string]row {
		var list []row
		if err := json.Unmarshal([]byte(d.get("/_bellhop/connections")), &list); err != nil {
			t.Fatal(err)
		}
		of := map[string]row{}
		for _, r := range list {
			of[r.User] = r
		}
		return of
	}
	d.must(ana, `{"action":"join","id":"q","room":"channel:1"}`, `"ok":true`)
	before := rows()["ana"]
	if before.ID == "" {
		t.Fatalf("ana is not listed: %v", rows())
	}
	claims := fmt.Sprintf(`"connection":%[1]q,"connectionId":%[1]q,"user":"ana","userId":"ana","sub":"ana","from":{"userId":"ana"},`+
		`"requestContext":{"connectionId":%[1]q,"authorizer":{"user":"ana","principalId":"ana"}},"grants":{"*":["join","publish","moderate"]}`, before.ID)
	d.must(eve, `{"action":"join","id":"q","room":"channel:2",`+claims+`}`, `"ok":true`)
	d.must(eve, `{"action":"join","id":"q","room":"user:ana",`+claims+`}`, `"code":"forbidden"`)
	d.must(eve, `{"action":"join","id":"q","room":"castle:2",`+claims+`}`, `"code":"unknown_room_kind"`)
	d.must(eve, `{"action":"publish","id":"q","room":"channel:1","event":"message:new","data":1,`+claims+`}`, `"code":"not_in_room"`)
	d.must(eve, `{"action":"leave","id":"q","room":"channel:1",`+claims+`}`, `"ok":true`)
	d.must(eve, `{"action":"publish","id":"q","room":"channel:2","event":"message:new","data":1,`+claims+`}`, `"ok":true`)
	got := d.must(eve, `{"action":"history","id":"q","room":"channel:2",`+claims+`}`, `"from":{"userId":"eve"`)
	if strings.Contains(got, "ana") {
		t.Errorf("the sender is not eve alone: %s", got)
	}
	if after := rows()["ana"]; after.ID != before.ID || !slices.Equal(after.Rooms, before.Rooms) {
		t.Errorf("eve moved ana: from %v to %v", before, after)
	}
}

// TestDeletedMessage: a message that was deleted is in no history and no resume any more, only that there was one.
func TestDeletedMessage(t *testing.T) {
	issuer := byKey(t)
	d := startDev(t, issuer.secret)
	ana := d.open(issuer.sign(t, "ana", 0))
	joined := d.must(ana, `{"action":"join","id":"q","room":"channel:1"}`, `"ok":true`)
	const regret = "what ana regrets"
	if reply := d.ask(ana, `{"action":"message:send","id":"q","channelId":"1","content":"`+regret+`"}`); !strings.Contains(reply, `"ok":true`) {
		t.Fatal(reply)
	}
	d.must(ana, `{"action":"history","id":"q","room":"channel:1"}`, regret)
	d.must(ana, `{"action":"message:delete","id":"q","channelId":"1","messageId":"q"}`, `"ok":true`)
	var at struct{ Data struct{ Epoch string } }
	if err := json.Unmarshal([]byte(joined), &at); err != nil {
		t.Fatal(err)
	}
	bob := d.open(issuer.sign(t, "bob", 0))
	resume := d.must(bob, `{"action":"join","id":"q","room":"channel:1","since":{"epoch":"`+at.Data.Epoch+`","seq":0}}`, `"message:deleted"`)
	history := d.must(bob, `{"action":"history","id":"q","room":"channel:1"}`, `"message:deleted"`)
	if strings.Contains(resume+history, regret) {
		t.Errorf("it is still there: %s %s", resume, history)
	}
}

// TestFewerGrants: a connection whose token is renewed with fewer grants is taken out of the rooms that it may not be in.
func TestFewerGrants(t *testing.T) {
	issuer := byKey(t)
	d := startDev(t, issuer.secret)
	ana := d.open(issuer.sign(t, "ana", 0))
	d.must(ana, `{"action":"join","id":"q","room":"channel:1"}`, `"ok":true`)
	d.must(ana, `{"action":"join","id":"q","room":"channel:2"}`, `"ok":true`)
	fewer := issuer.signWith(t, issuer.key, "ana", 0, map[string][]string{"channel:2": {"join"}})
	d.must(ana, `{"action":"auth","id":"q","token":"`+fewer+`"}`, `"ok":true`)
	for frame, want := range map[string]string{
		`{"action":"history","id":"q","room":"channel:1"}`:                        `"code":"not_in_room"`,
		`{"action":"join","id":"q","room":"channel:1"}`:                           `"code":"forbidden"`,
		`{"action":"history","id":"q","room":"channel:2"}`:                        `"ok":true`,
		`{"action":"publish","id":"q","room":"channel:2","event":"e","data":1}`:   `"code":"forbidden"`,
		`{"action":"signal","id":"q","room":"channel:2","event":"typing:start"}`:  `"code":"forbidden"`,
		`{"action":"signal","id":"q","room":"channel:1","event":"typing:start"}`:  `"code":"forbidden"`,
		`{"action":"message:delete","id":"q","channelId":"1","messageId":"none"}`: `"code":"not_in_room"`,
	} {
		d.must(ana, frame, want)
	}
	if got := d.get("/_bellhop/connections"); strings.Contains(got, "channel:1") || !strings.Contains(got, "channel:2") {
		t.Errorf("she is still in it: %s", got)
	}
}

// TestEventIDs: the id of another's event gives nothing away and takes nothing over, nor does one that the server would give
// to the next event.
func TestEventIDs(t *testing.T) {
	issuer := byKey(t)
	d := startDev(t, issuer.secret)
	ana, eve := d.open(issuer.sign(t, "ana", 0)), d.open(issuer.sign(t, "eve", 0))
	for _, c := range []*websocket.Conn{ana, eve} {
		d.must(c, `{"action":"join","id":"q","room":"channel:1"}`, `"ok":true`)
	}
	const secret = "only for bob"
	d.must(ana, `{"action":"publish","id":"q","room":"channel:1","event":"message:new","data":"`+secret+`"}`, `"seq":1`)
	if got := d.must(eve, `{"action":"publish","id":"q","room":"channel:1","event":"message:new","data":1}`, `"seq":2`); strings.Contains(got, secret) {
		t.Errorf("the reply quotes it: %s", got)
	}
	var head struct{ Data struct{ Epoch string } }
	if err := json.Unmarshal([]byte(d.must(eve, `{"action":"history","id":"q","room":"channel:1"}`, `"seq":2`)), &head); err != nil {
		t.Fatal(err)
	}
	for seq := range 4 {
		id := fmt.Sprintf("%s:%d", head.Data.Epoch, seq)
		frame := `{"action":"publish","id":"` + id + `","room":"channel:1","event":"message:new","data":1}`
		if got := d.packet(eve, frame, `{"reply":"`+id); !strings.Contains(got, `"code":"bad_request"`) {
			t.Errorf("%s: %s", id, got)
		}
	}
	d.must(eve, `{"action":"history","id":"q","room":"channel:1"}`, `"seq":2`)
}

// TestDevStaysOnThisMachine: with the secret that everybody knows, `bellhop dev` listens on loopback only.
func TestDevStaysOnThisMachine(t *testing.T) {
	path := servertest.Build(t)
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0"} {
		ctx, cancel := context.WithTimeout(t.Context(), servertest.Patience)
		cmd := exec.CommandContext(ctx, path, "dev", "--memory", "--listen", address)
		cmd.Env = append(os.Environ(), "BELLHOP_JWT_SECRET=")
		text, err := cmd.CombinedOutput()
		cancel()
		if err == nil || !strings.Contains(string(text), "development secret") {
			t.Fatalf("--listen %s: %v, %s", address, err, text)
		}
	}
}
