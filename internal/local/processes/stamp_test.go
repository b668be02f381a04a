package processes

import "testing"

// TestStampOfWhatIsMadeAgain: a folder that a compiler works in is no code, whatever happens there.
func TestStampOfWhatIsMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, map[string]string{"src/main.rs": "", "target/CACHEDIR.TAG": "", "classes/Main.class": ""})
	before := look(dir)
	lay(t, dir, map[string]string{"target/debug/deps/main.o": "made"})
	if look(dir) != before {
		t.Error("an object file of Cargo's counts as a change")
	}
	lay(t, dir, map[string]string{"classes/Main.class": "made"})
	if look(dir) == before {
		t.Error("a class that was compiled does not count")
	}
}
