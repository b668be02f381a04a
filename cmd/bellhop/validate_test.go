package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestValidate: what the template cannot refuse, the functions do, before anything is deployed. Each value is one that deploys.
func TestValidate(t *testing.T) {
	t.Parallel()
	const secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x"
	for name, c := range map[string]struct {
		parameters map[string]string
		want       []string // empty: nothing is wrong
	}{
		"the defaults, and a secret":    {map[string]string{"JwtSecretArn": secret}, nil},
		"the defaults, and a key set":   {map[string]string{"JwksUrl": "https://id.example/jwks.json"}, nil},
		"everything":                    {map[string]string{"JwtSecretArn": secret, "EventBusName": "app", "JoinHook": "arn:aws:lambda:eu-west-1:1:function:f", "ExistingTable": "mine", "SocketNamespaces": "/chat"}, nil},
		"no way to verify tokens":       {nil, []string{"JwtSecretArn"}},
		"a kind that keeps for 24 h":    {map[string]string{"JwtSecretArn": secret, "RoomKinds": `{"user":{"owner":true,"keep":"24 h"}}`}, []string{"RoomKinds", "24 h"}},
		"a kind with a misspelt field":  {map[string]string{"JwtSecretArn": secret, "RoomKinds": `{"user":{"owner":true,"keeps":"24h"}}`}, []string{"RoomKinds", "keeps"}},
		"a hook's time without a unit":  {map[string]string{"JwtSecretArn": secret, "HookOptions": `{"join":{"timeout":"2"}}`}, []string{"HookOptions", `"join"`}},
		"grants with a * in the middle": {map[string]string{"JwtSecretArn": secret, "DefaultGrants": `{"a*b":["join"]}`}, []string{"DefaultGrants", "a*b"}},
		"pings of over nine minutes":    {map[string]string{"JwtSecretArn": secret, "SocketPingInterval": "301s", "SocketPingTimeout": "240s"}, []string{"9m"}},
		"an algorithm without keys":     {map[string]string{"JwtSecretArn": secret, "JwtAlgorithms": "RS256"}, []string{"RS256"}},
		"two things":                    {map[string]string{"JwtSecretArn": secret, "DefaultGrants": `{"a":1}`, "RoomKinds": `{"user":1}`}, []string{"DefaultGrants", "RoomKinds"}},
		"what the template refuses":     {map[string]string{"JwtSecretArn": secret, "MaxRooms": "1.5"}, []string{"MaxRooms"}},
		"a parameter that is not there": {map[string]string{"JwtSecretArn": secret, "MaxRoms": "5"}, []string{"MaxRoms"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := validateCommand{Parameter: c.parameters}.validate(t.Context(), nil)
			if (err != nil) != (len(c.want) > 0) {
				t.Errorf("got %v", err)
			}
			for _, want := range c.want {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s in it", err, want)
				}
			}
		})
	}
	t.Run("parameters come in a file, or on the standard input", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "parameters.json")
		if err := os.WriteFile(file, []byte(`{"JwtSecretArn":"`+secret+`","InlineLimit":"0"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (validateCommand{Parameters: file}).validate(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "InlineLimit") {
			t.Errorf("a file: got %v", err)
		}
		if err := (validateCommand{Parameters: "-"}).validate(t.Context(), strings.NewReader(`{"JwtSecretArn":"`+secret+`"}`)); err != nil {
			t.Errorf("the standard input: got %v", err)
		}
		if err := (validateCommand{Parameters: "-"}).validate(t.Context(), strings.NewReader(`[]`)); err == nil {
			t.Error("a list of parameters is taken")
		}
	})
}
