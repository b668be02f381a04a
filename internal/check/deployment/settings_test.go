package deployment

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guided is what `sam deploy --guided --config-env dev` has saved, with another name of the stack and a text of JSON.
const guided = `version = 0.1
[dev.deploy.parameters]
stack_name = "chat-eu"
profile = "work"
parameter_overrides = "Stage=\"dev\" RoomKinds=\"{\\\"user\\\":{\\\"owner\\\":true}}\" AllowedOrigins=\"https://a.example, https://b.example\""
image_repositories = []
[dev.global.parameters]
region = "eu-west-1"
`

// TestSettings: make outputs, make logs, make delete, and what make deploy does before and after, are about the stack that
// --guided was told of, or that flags name.
func TestSettings(t *testing.T) {
	python, err := filepath.Abs(root + ".tools/venv/bin/python") // scripts/sam-tools makes it, and make validate runs that
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs(root + "scripts/samconfig.py")
	if err != nil {
		t.Fatal(err)
	}
	if exec.CommandContext(t.Context(), python, "-c", "import samcli").Run() != nil {
		t.Skip("SAM CLI is not there: make validate fetches it")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "samconfig.toml"), []byte(guided), 0o600); err != nil {
		t.Fatal(err)
	}
	const before = "version = 0.1\n[prod.deploy.parameters]\nstack_name = \"chat\"\n"
	for name, text := range map[string]string{"before.toml": before, "same.toml": guided} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for asked, want := range map[string]string{
		"--changed before.toml":                             "dev",
		"--changed same.toml":                               "",
		"--changed none.toml":                               "dev",
		"dev stack_name":                                    "chat-eu",
		"dev region":                                        "eu-west-1",
		"dev profile":                                       "work",
		"dev parameter_overrides":                           `{"Stage": "dev", "RoomKinds": "{\"user\":{\"owner\":true}}", "AllowedOrigins": "https://a.example, https://b.example"}`,
		"dev stack_name --stack-name other":                 "other",
		"dev stack_name --guided --stack-name=other":        "other",
		"dev region --region us-east-1 --guided":            "us-east-1",
		"dev parameter_overrides --parameter-overrides A=1": `{"A": "1"}`,
		"prod stack_name":                                   "",
	} {
		run := exec.CommandContext(t.Context(), python, append([]string{script}, strings.Fields(asked)...)...)
		run.Dir = dir
		got, err := run.Output()
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: got %s, %v, want %s", asked, got, err, want)
		}
	}
}
