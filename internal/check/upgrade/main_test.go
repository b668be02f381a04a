package upgrade_test

import (
	"os"
	"testing"
)

// temporary is a folder for what all tests share.
var temporary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bellhop-upgrade-")
	if err != nil {
		panic(err)
	}
	temporary = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
