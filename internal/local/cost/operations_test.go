package cost

import (
	"reflect"
	"testing"

	"github.com/bellhop-rt/bellhop/internal/socketio"
)

// TestEveryOperation: a method of the store that the table does not have would be for nothing.
func TestEveryOperation(t *testing.T) {
	table := operations()
	methods := reflect.TypeFor[socketio.Store]()
	for m := range methods.Methods() {
		if table[m.Name].uses == nil {
			t.Errorf("nothing says what %s uses", m.Name)
		}
		delete(table, m.Name)
	}
	for name := range table {
		t.Errorf("%s is no method of the store", name)
	}
}
